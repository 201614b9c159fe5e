"""Files that declare far more than they contain: each is refused or read in time and memory bounded by its own size.

BUDGETS=all in the environment prints what each command took.
"""

import collections
import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import unittest
import zlib

import h5py
import numpy as np
import torch
from support import BINARY, DONE, UNUSABLE, InteropTest

# What any of these may take: seconds of processor time and resident memory. The aim is two seconds, and one for an honest
# list of a hundred thousand; this finds what grows without bounds, on a machine that is slow or has other work.
SECONDS, KIBIBYTES = 6.0, 512 << 10

CASES = {}


def case(name):
    """Registers a function that writes a hostile file into a folder and gives its path."""

    def register(function):
        CASES[name] = function
        return function

    return register


def put(path, content):
    path.write_bytes(content)
    return path


# --- archives


def deflated(size):
    """`size` zeros, deflated as small as that gets, and their checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block, checksum, parts = bytes(1 << 20), 0, []
    for _ in range(size >> 20):
        parts.append(packer.compress(block))
        checksum = zlib.crc32(block, checksum)
    return b"".join(parts) + packer.flush(), checksum


def archive(entries):
    """A zip archive: entries of name, stored bytes, size when unpacked, checksum and method."""
    files, directory = io.BytesIO(), io.BytesIO()
    for name, stored, size, checksum, method in entries:
        name = name.encode()
        extra = struct.pack("<HHQQ", 1, 16, size, len(stored))
        start = files.tell()
        files.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, method, 0, 0, checksum, 2**32 - 1, 2**32 - 1,
                                len(name), len(extra)) + name + extra + stored)  # fmt: skip
        extra = struct.pack("<HHQQQ", 1, 24, size, len(stored), start)
        directory.write(struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, method, 0, 0, checksum, 2**32 - 1,
                                    2**32 - 1, len(name), len(extra), 0, 0, 0, 0, 2**32 - 1) + name + extra)  # fmt: skip
    start, size, count = files.tell(), directory.tell(), len(entries)
    end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    return files.getvalue() + directory.getvalue() + end + locator + last


def entry(name, content):
    return name, content, len(content), zlib.crc32(content), 0


def npy(shape, version=1):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header.encode()


def npy_of_zeros(name, count):
    """An entry of `count` zeros of float32, deflated."""
    head = npy(f"({count},)")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored, checksum, block = [packer.compress(head)], zlib.crc32(head), bytes(1 << 20)
    for _ in range(count * 4 >> 20):
        stored.append(packer.compress(block))
        checksum = zlib.crc32(block, checksum)
    return name + ".npy", b"".join(stored) + packer.flush(), len(head) + count * 4, checksum, 8


@case("npz: a gigabyte of zeros in a megabyte")
def npz_of_zeros(folder):
    return put(folder / "zeros.npz", archive([npy_of_zeros("a", 1 << 28)]))


@case("npz: two hundred arrays of 16 megabytes of zeros")
def npz_of_many_zeros(folder):
    one = npy_of_zeros("a", 1 << 22)
    return put(folder / "zeros.npz", archive([(f"a{number}.npy", *one[1:]) for number in range(200)]))


@case("npz: a million entries")
def npz_of_a_million(folder):
    content = npy("()") + bytes(4)
    return put(folder / "million.npz", archive([entry(f"{number}.npy", content) for number in range(1_000_000)]))


@case("npz: entries that overlap")
def npz_overlapping(folder):
    whole = archive([entry("a.npy", npy("(1000000,)") + bytes(4_000_000))])
    start = whole.index(b"PK\x01\x02")
    one = whole[start : whole.index(b"PK\x06\x06")]
    many = b"".join(one.replace(b"a.npy", b"%05d" % number) for number in range(20_000))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 20_000, 20_000, len(many), start, 0)
    return put(folder / "overlapping.npz", whole[:start] + many + end)


@case("npy: a header of four gigabytes")
def npy_header(folder):
    return put(folder / "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 1000)


@case("npy: a header of brackets")
def npy_brackets(folder):
    header = b"{'descr': " + b"(" * 4_000_000
    return put(folder / "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header)


@case("npy: a shape of 2^62")
def npy_shape(folder):
    return put(folder / "a.npy", npy("(2147483648, 2147483648)") + bytes(64))


# --- pickles


def text(value):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def whole(number):
    return b"J" + struct.pack("<i", number) if number < 2**31 else b"\x8a\x08" + struct.pack("<q", number)


def torch_zip(root, storages=(), method=0):
    """A torch archive around a pickle that was written by hand."""
    entries = [entry("m/data.pkl", root), entry("m/byteorder", b"little"), entry("m/version", b"3\n")]
    for key, content in storages:
        entries.append((f"m/data/{key}", *content) if isinstance(content, tuple) else entry(f"m/data/{key}", content))
    return archive(entries)


def tensor(key, count, shape, stride):
    """A tensor as torch pickles it, on a storage of float32."""

    def tuple_of(numbers):
        return b"(" + b"".join(whole(number) for number in numbers) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    storage += whole(count) + b"tQ"
    rest = b"K\x00" + tuple_of(shape) + tuple_of(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def dictionary(members):
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in members) + b"u."


LEGACY = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


@case("torch: a storage of a gigabyte of zeros in a megabyte")
def torch_zeros(folder):
    stored, checksum = deflated(1 << 30)
    root = dictionary([("a", tensor("0", 1 << 28, [1 << 28], [1]))])
    return put(folder / "m.pt", torch_zip(root, [("0", (stored, 1 << 30, checksum, 8))]))


@case("torch: one number repeated into a tensor of 2^40")
def torch_repeated(folder):
    root = dictionary([("a", tensor("0", 1, [1 << 20, 1 << 20], [0, 0]))])
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("torch: a thousand tensors of 200 megabytes from one number each")
def torch_repeated_often(folder):
    root = dictionary([(f"a{number}", tensor("0", 1, [50 << 20], [0])) for number in range(1000)])
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("torch: ten thousand tensors of one storage of 16 megabytes")
def torch_shared(folder):
    root = dictionary([(f"a{number}", tensor("0", 4 << 20, [4 << 20], [1])) for number in range(10_000)])
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(16 << 20))]))


@case("torch: a shape of 2^62")
def torch_shape(folder):
    root = dictionary([("a", tensor("0", 1, [1 << 31, 1 << 31], [0, 0]))])
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("torch: a million tensors of one number")
def million_of_torch(folder):
    root = b"\x80\x02}(" + text("a") + tensor("0", 1, [1], [1]) + b"q\x00"
    root += b"".join(text(str(number)) + b"h\x00" for number in range(1_000_000)) + b"u."
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("torch: a million tensors of a storage each")
def million_of_storages(folder):
    root = dictionary([(str(number), tensor(str(number), 1, [1], [1])) for number in range(1_000_000)])
    return put(folder / "m.pt", torch_zip(root, [(str(number), bytes(4)) for number in range(1_000_000)]))


for form in ("zip", "legacy"):

    def wrap(folder, root, form=form):
        content = torch_zip(root) if form == "zip" else LEGACY + root + pickle.dumps([], 2)
        return put(folder / f"m-{form}.pt", content)

    @case(f"torch {form}: lists nested 100,000 deep")
    def nested(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")

    @case(f"torch {form}: tuples nested a million deep")
    def nested_tuples(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02)" + b"\x85" * 1_000_000 + b".")

    @case(f"torch {form}: a billion laughs")
    def laughs(folder, wrap=wrap):
        value = ["ha"]
        for _ in range(30):
            value = [value] * 10
        return wrap(folder, pickle.dumps(value, 2))

    @case(f"torch {form}: a billion laughs in dictionaries")
    def laughs_in_dictionaries(folder, wrap=wrap):
        value = {"ha": 1}
        for _ in range(30):
            value = {str(number): value for number in range(10)}
        return wrap(folder, pickle.dumps(value, 2))

    @case(f"torch {form}: a billion laughs of tensors")
    def laughs_of_tensors(folder, form=form):
        value, index = b"]q\x00(" + tensor("0", 1, [1], [1]) * 10 + b"e", 0
        for index in range(1, 30):
            value = value + b"0]q" + bytes([index]) + b"(" + (b"h" + bytes([index - 1])) * 10 + b"e"
        root = b"\x80\x02" + value + b"."
        if form == "zip":
            return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))
        return put(folder / "m.pt", LEGACY + root + pickle.dumps(["0"], 2) + struct.pack("<q", 1) + bytes(4))

    @case(f"torch {form}: one long text ten million times")
    def repeated_text(folder, wrap=wrap):
        long = text("x" * (1 << 20)) + b"q\x00"
        return wrap(folder, b"\x80\x02](" + long + b"h\x00" * 2_000_000 + b"e.")

    @case(f"torch {form}: one long key a thousand times")
    def repeated_key(folder, wrap=wrap):
        long = text("x" * (1 << 20)) + b"q\x00"
        return wrap(folder, b"\x80\x02](" + long + b"(h\x00K\x01d" * 100_000 + b"e.")

    @case(f"torch {form}: a whole number of a million bytes")
    def long_number(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02}X\x01\x00\x00\x00a\x8b" + struct.pack("<i", 1_000_000) + b"\x7f" * 1_000_000 + b"s.")

    @case(f"torch {form}: a whole number of a million digits")
    def long_digits(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02}X\x01\x00\x00\x00aI" + b"9" * 1_000_000 + b"\ns.")

    @case(f"torch {form}: the memo at two thousand million")
    def far_memo(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02" + b"".join(b"K\x01r" + struct.pack("<I", 2**32 - 1 - n) for n in range(1000)) + b".")

    @case(f"torch {form}: a million lists each extended by the one before")
    def doubled(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02]q\x00" + b"(h\x00h\x00h\x00h\x00e" * 400_000 + b".")

    @case(f"torch {form}: a dictionary set again and again")
    def same_key(folder, wrap=wrap):
        return wrap(folder, b"\x80\x02}" + b"X\x01\x00\x00\x00aK\x01s" * 400_000 + b".")

    @case(f"torch {form}: one dictionary under 100,000 names")
    def many_names(folder, wrap=wrap):
        members = b"".join(b"X\x01\x00\x00\x00%cK\x01" % letter for letter in b"abcdefghijklmnop")
        names = b"".join(text(str(number)) + b"h\x00" for number in range(100_000))
        return wrap(folder, b"\x80\x02}q\x00(" + members + b"u0}(" + names + b"u.")


# --- headers in JSON


def safetensors_file(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


@case("safetensors: a header of 100 MB of spaces")
def spaces(folder):
    return put(folder / "m.safetensors", safetensors_file(b"{}".ljust(99_999_992)))


@case("safetensors: a header nested 10 million deep")
def deep_header(folder):
    return put(folder / "m.safetensors", safetensors_file(b'{"a":' + b"[" * 10_000_000))


@case("safetensors: a header of 90 MB in one text")
def long_text(folder):
    return put(folder / "m.safetensors", safetensors_file({"__metadata__": {"a": "x" * 90_000_000}}))


@case("safetensors: one name a million times")
def same_name(folder):
    one = b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return put(folder / "m.safetensors", safetensors_file(b"{" + b",".join([one] * 1_000_000) + b"}"))


@case("safetensors: a million tensors")
def million(folder):
    one = b'"%d":{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    header = b"{" + b",".join(one % (n, 4 * n, 4 * n + 4) for n in range(1_000_000)) + b"}"
    return put(folder / "m.safetensors", safetensors_file(header, bytes(4_000_000)))


@case("safetensors: a thousand names, one of ten megabytes")
def long_name(folder):
    names = ["x" * 10_000_000] + [str(number) for number in range(1000)]
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}
    return put(folder / "m.safetensors", safetensors_file(header, bytes(4 * len(names))))


@case("safetensors: a shape of 2^62")
def wide_shape(folder):
    header = {"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 4]}}
    return put(folder / "m.safetensors", safetensors_file(header, bytes(4)))


@case("safetensors: a shape of a million sizes")
def long_shape(folder):
    header = {"a": {"dtype": "F32", "shape": [1] * 1_000_000, "data_offsets": [0, 4]}}
    return put(folder / "m.safetensors", safetensors_file(header, bytes(4)))


@case("safetensors: a whole number of ten million digits")
def digits(folder):
    return put(folder / "m.safetensors", safetensors_file(b'{"a":' + b"9" * 10_000_000 + b"}"))


@case("safetensors: the layers of a BERT, each of another size")
def misshapen(folder):
    names = ["attention.self.query.weight", "attention.self.key.weight", "attention.self.value.weight",
             "attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight"]  # fmt: skip
    header = {
        "bert.embeddings." + name: {"dtype": "F32", "shape": [5, 0], "data_offsets": [0, 0]}
        for name in ("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight")
    }
    for number in range(9999 * len(names)):
        layer, name = divmod(number, len(names))
        key = f"bert.encoder.layer.{layer}.{names[name]}"
        header[key] = {"dtype": "F32", "shape": [1000 + number, 0], "data_offsets": [0, 0]}
        header[key.replace("weight", "bias")] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return put(folder / "m.safetensors", safetensors_file(header))


@case("a list of a million shards")
def shards(folder):
    listed = {f"t{number}": f"{number}.safetensors" for number in range(1_000_000)}
    return put(folder / "model.safetensors.index.json", json.dumps({"weight_map": listed}).encode())


@case("a config nested a million deep")
def deep_config(folder):
    put(folder / "config.json", b'{"a":' * 1_000_000)
    return put(folder / "m.safetensors", safetensors_file({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)))


# --- TensorFlow


def masked(checksum):
    return ((checksum >> 15 | checksum << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


TABLE = [0] * 256
for number in range(256):
    value = number
    for _ in range(8):
        value = value >> 1 ^ 0x82F63B78 * (value & 1)
    TABLE[number] = value


def crc32c(content):
    value = 0xFFFFFFFF
    for byte in content:
        value = TABLE[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def varint(number):
    result = bytearray()
    while number >= 128:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes(result) + bytes([number])


def block(content, kind=0):
    """A block of a table as it is stored."""
    return content + bytes([kind]) + struct.pack("<I", masked(crc32c(content + bytes([kind]))))


def table(entries, kind=0):
    """An index: one block, given as its bytes or as (shared, key, value) entries."""
    if not isinstance(entries, bytes):
        content = b"".join(varint(s) + varint(len(k)) + varint(len(v)) + k + v for s, k, v in entries)
        entries = content + struct.pack("<II", 0, 1)

    result, handles = b"", []
    empty = struct.pack("<II", 0, 1)
    for content, of_kind in ((entries, kind), (empty, 0)):
        handles.append(varint(len(result)) + varint(len(content)))
        result += block(content, of_kind)
    index = b"\x00\x01" + varint(len(handles[0])) + b"z" + handles[0] + empty
    start = len(result)
    result += block(index)
    footer = (handles[1] + varint(start) + varint(len(index))).ljust(40, b"\0")
    return result + footer + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = (0, b"", b"\x08\x01\x1a\x02\x08\x01")


@case("TensorFlow: keys that share 200 kB each")
def shared_keys(folder):
    long = b"a" * 200_000
    entries = [HEADER, (0, long, b"\x08\x01")] + [(200_000, b"%06d" % number, b"\x08\x01") for number in range(60_000)]
    return put(folder / "m.ckpt.index", table(entries))


@case("TensorFlow: a million tensors")
def million_of_tensorflow(folder):
    entries = [HEADER]
    for number in range(1_000_000):
        value = b"\x08\x01\x12\x04\x12\x02\x08\x01" + (b"\x20" + varint(4 * number) if number else b"") + b"\x28\x04"
        entries.append((0, b"%06d" % number, value))
    put(folder / "m.ckpt.data-00000-of-00001", bytes(4_000_000))
    return put(folder / "m.ckpt.index", table(entries))


@case("TensorFlow: a snappy block that declares four gigabytes")
def snappy(folder):
    return put(folder / "m.ckpt.index", table(varint(2**32 - 1) + bytes(1000), kind=1))


@case("TensorFlow: a snappy block of copies")
def snappy_copies(folder):
    content = varint(64 * 300_000 + 1) + b"\x00a" + b"\xfe\x01\x00" * 300_000
    return put(folder / "m.ckpt.index", table(content, kind=1))


@case("TensorFlow: ten thousand tensors of one megabyte of data")
def one_place(folder):
    data = bytes(1 << 20)
    put(folder / "m.ckpt.data-00000-of-00001", data)
    shape = b"\x12\x06\x12\x04\x08" + varint(1 << 18)
    value = b"\x08\x01" + shape + b"\x28" + varint(1 << 20) + b"\x35" + struct.pack("<I", masked(crc32c(data)))
    return put(folder / "m.ckpt.index", table([HEADER] + [(0, b"%05d" % number, value) for number in range(10_000)]))


# --- HDF5


def hdf5(folder, write):
    with h5py.File(folder / "m.h5", "w", libver="latest") as file:
        write(file)
    return folder / "m.h5"


@case("HDF5: four gigabytes of zeros by gzip")
def gzip(folder):
    def write(file):
        chunk = zlib.compress(bytes(64 << 20), 9)
        data = file.create_dataset("a", (1 << 30,), "f4", chunks=(16 << 20,), compression="gzip")
        for number in range(64):
            data.id.write_direct_chunk((number << 24,), chunk)

    return hdf5(folder, write)


@case("HDF5: a dataset of 2^60 that was never written")
def unwritten(folder):
    return hdf5(folder, lambda file: file.create_dataset("a", (1 << 60,), "f4", chunks=(1 << 10,), fillvalue=3))


@case("HDF5: one dataset of 16 megabytes under 10,000 names")
def one_dataset(folder):
    def write(file):
        file["a"] = np.zeros(4 << 20, np.float32)
        for number in range(10_000):
            file[f"b{number}"] = file["a"]

    return hdf5(folder, write)


@case("HDF5: a billion laughs of groups")
def groups(folder):
    def write(file):
        below = file.create_group("0")
        below["a"] = np.zeros(1, np.float32)
        for level in range(1, 30):
            group = file.create_group(str(level))
            for number in range(10):
                group[str(number)] = below
            below = group

    return hdf5(folder, write)


@case("HDF5: a group that contains itself")
def circle(folder):
    def write(file):
        file["a/b"] = np.zeros(1, np.float32)
        file["a/c"] = file["a"]
        file["a/d"] = file["/"]

    return hdf5(folder, write)


# --- the rest


@case("msgpack: arrays nested a million deep")
def msgpack_deep(folder):
    return put(folder / "flax_model.msgpack", b"\x81\xa1a" + b"\x91" * 1_000_000)


@case("msgpack: maps that declare four thousand million members")
def msgpack_wide(folder):
    return put(folder / "flax_model.msgpack", b"\xdf\xff\xff\xff\xff\xa1a" * 1000)


@case("numpy shards: a million shapes")
def shapes(folder):
    np.save(folder / "params_0.npy", np.zeros(4, np.float32))
    return put(folder / "params_shapes.json", json.dumps([[2**31, 2**31]] * 1_000_000).encode())


# --- combining marks, which take the square of their number to be put in order


MARKS = "a" + "\u0301\u0323" * 200_000
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@case("marks: a name of safetensors")
def marks_in_a_name(folder):
    return put(folder / "m.safetensors", safetensors_file({MARKS: ONE}, bytes(4)))


@case("marks: metadata of safetensors, escaped")
def marks_in_metadata(folder):
    return put(folder / "m.safetensors", safetensors_file({"__metadata__": {"a": MARKS, MARKS: "a"}, "a": ONE}, bytes(4)))


@case("marks: names of an npz")
def marks_in_an_npz(folder):
    content = npy("()") + bytes(4)
    return put(folder / "a.npz", archive([entry(MARKS[:30_000] + f"{number}.npy", content) for number in range(500)]))


@case("marks: a header of npy")
def marks_in_a_header(folder):
    header = ("{'descr': '" + MARKS[:30_000] + "', 'fortran_order': False, 'shape': (), }").encode() + b"\n"
    return put(folder / "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(4))


for form in ("zip", "legacy"):

    def wrap_marks(folder, root, form=form):
        return put(folder / "m.pt", torch_zip(root) if form == "zip" else LEGACY + root + pickle.dumps([], 2))

    @case(f"marks: a key of torch {form}")
    def marks_in_a_key(folder, wrap=wrap_marks):
        return wrap(folder, b"\x80\x02}" + text(MARKS) + b"K\x01s.")

    @case(f"marks: an import of torch {form}")
    def marks_in_an_import(folder, wrap=wrap_marks):
        return wrap(folder, b"\x80\x02](" + b"c" + MARKS[:20_000].encode() + b"\n" + MARKS[:30].encode() + b"\ne.")

    @case(f"marks: texts and bytes of torch {form}")
    def marks_in_texts(folder, wrap=wrap_marks):
        escaped = b"".join(b"\\u%04x" % ord(letter) for letter in MARKS[:100_000])
        old = MARKS.encode()
        return wrap(
            folder, b"\x80\x02}(V" + escaped + b"\nK\x01T" + struct.pack("<i", len(old)) + old + b"K\x02u."
        )


@case("marks: a name of TensorFlow")
def marks_in_tensorflow(folder):
    put(folder / "m.ckpt.data-00000-of-00001", bytes(4))
    value = b"\x08\x01\x12\x04\x12\x02\x08\x01\x28\x04" + b"\x35" + struct.pack("<I", masked(crc32c(bytes(4))))
    return put(folder / "m.ckpt.index", table([HEADER, (0, MARKS.encode(), value)]))


@case("marks: names of HDF5")
def marks_in_hdf5(folder):
    def write(file):
        for number in range(50):
            file[MARKS[:20_000] + str(number)] = np.zeros(1, np.float32)
        file.attrs["a"] = MARKS[:20_000]

    return hdf5(folder, write)


@case("marks: a key of msgpack")
def marks_in_msgpack(folder):
    key = MARKS.encode()
    array = b"\x93\x91\x01\xa5uint8\xc4\x01\x07"
    array = b"\xc7" + bytes([len(array)]) + b"\x01" + array
    return put(folder / "flax_model.msgpack", b"\x82\xa1a" + array + b"\xdb" + struct.pack(">I", len(key)) + key + b"\x01")


@case("marks: a list of shards")
def marks_in_shards(folder):
    return put(folder / "model.safetensors.index.json", json.dumps({"weight_map": {MARKS: "a", "b": MARKS}}).encode())


@case("marks: a config and a vocabulary")
def marks_next_to(folder):
    put(folder / "config.json", json.dumps({MARKS: MARKS, "model_type": MARKS}).encode())
    put(folder / "vocab.txt", (MARKS + "\n").encode())
    return put(folder / "m.safetensors", safetensors_file({"bert.a": ONE}, bytes(4)))


# --- what is used over and over: each step is small, and the steps are many


def long_bytes(count):
    return b"T" + struct.pack("<i", count) + b"x" * count


@case("over and over: an import of 32,000 parts")
def import_of_parts(folder):
    return put(folder / "m.pt", torch_zip(b"\x80\x02c" + b"a." * 32_000 + b"\nb\n."))


@case("over and over: a hundred thousand imports in ten pickles")
def imports_of_many(folder):
    entries = [entry("m/data.pkl", dictionary([("a", tensor("0", 1, [1], [1]))])), entry("m/data/0", bytes(4))]
    for number in range(10):
        imports = b"".join(b"cm%d\nn%d\n" % (number, index) for index in range(10_000))
        entries.append(entry(f"m/x{number}.pkl", b"\x80\x02(" + imports + b"l."))
    return put(folder / "m.pt", archive(entries))


@case("over and over: a storage with a key of a megabyte")
def key_of_a_storage(folder):
    name = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("k" * 1_000_000) + text("cpu") + b"K\x01tq\x00"
    return put(folder / "m.pt", torch_zip(b"\x80\x02" + name + b"Q0" + b"h\x00Q0" * 100_000 + b"}."))


@case("over and over: an import of long texts")
def import_of_texts(folder):
    names = text("m" * 32_000) + b"q\x00" + text("n" * 32_000) + b"q\x01\x930"
    return put(folder / "m.pt", torch_zip(b"\x80\x02" + names + b"h\x00h\x01\x930" * 100_000 + b"}."))


@case("over and over: metadata of 50,000 keys for each of 50,000 tensors")
def metadata_of_tensors(folder):
    metadata = b"}q\x00(" + b"".join(text(f"k{number}") + b"K\x01" for number in range(50_000)) + b"u0"
    function = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01"
    made = tensor("0", 1, [1], [1]).split(b"_rebuild_tensor_v2\n", 1)[1][:-2] + b"h\x00tq\x02R0"
    root = b"\x80\x02" + metadata + function + made + b"h\x01h\x02R0" * 50_000 + b"}."
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("over and over: a key of a megabyte of bytes")
def key_of_bytes(folder):
    state = b"}(" + b"h\x00K\x01" * 50_000 + b"u"
    root = b"\x80\x02" + long_bytes(1_000_000) + b"q\x000}" + text("o") + b"cfoo\nBar\n)\x81" + state + b"bs."
    return put(folder / "m.pt", torch_zip(root))


@case("over and over: a tensor of a compressed storage")
def compressed_storage(folder):
    stored, checksum = deflated(64 << 20)
    root = dictionary([(f"a{number}", tensor("0", 16 << 20, [1], [1])) for number in range(2000)])
    return put(folder / "m.pt", torch_zip(root, [("0", (stored, 64 << 20, checksum, 8))]))


@case("torch: a version of a gigabyte of zeros")
def version_of_zeros(folder):
    stored, checksum = deflated(1 << 30)
    content = [entry("m/data.pkl", dictionary([])), ("m/version", stored, 1 << 30, checksum, 8)]
    return put(folder / "m.pt", archive(content))


@case("torch: a pickle of a gigabyte of zeros")
def pickle_of_zeros(folder):
    stored, checksum = deflated(1 << 30)
    return put(folder / "m.pt", archive([("m/data.pkl", stored, 1 << 30, checksum, 8), entry("m/version", b"3\n")]))


@case("over and over: 30,000 tensors below a path of 4,000 bytes")
def long_path(folder):
    members = b"}(" + b"".join(text(str(number)) + b"h\x00" for number in range(30_000)) + b"u"
    root = b"\x80\x02" + tensor("0", 1, [1], [1]) + b"q\x000}" + text("k" * 4000) + members + b"s."
    return put(folder / "m.pt", torch_zip(root, [("0", bytes(4))]))


@case("over and over: shards of one number each")
def shards_of_one_number(folder):
    listed = {}
    for number in range(40):
        root = dictionary([(f"a{number}", tensor("0", 1, [2] * 26, [0] * 26))])
        put(folder / f"{number}.bin", torch_zip(root, [("0", bytes(4))]))
        listed[f"a{number}"] = f"{number}.bin"
    return put(folder / "pytorch_model.bin.index.json", json.dumps({"weight_map": listed}).encode())


@case("over and over: modules of one folder")
def modules_of_one_folder(folder):
    header = {str(n): {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n in range(100_000)}
    (folder / "1").mkdir()
    put(folder / "1" / "model.safetensors", safetensors_file(header, bytes(400_000)))
    put(folder / "model.safetensors", safetensors_file({"a": ONE}, bytes(4)))
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number in range(1, 64):
        kind = "sentence_transformers.models.LayerNorm"
        modules.append({"idx": number, "name": str(number), "path": "1", "type": kind})
    put(folder / "modules.json", json.dumps(modules).encode())
    return folder


@case("over and over: a config of 100,000 keys")
def keys_of_a_config(folder):
    put(folder / "config.json", json.dumps({"model_type": "bert"} | {f"k{n}": n for n in range(100_000)}).encode())
    shapes = {"word_embeddings": [8, 4], "position_embeddings": [8, 4], "token_type_embeddings": [2, 4]}
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[f"bert.embeddings.{name}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return put(folder / "m.safetensors", safetensors_file(header, bytes(end)))


@case("over and over: msgpack below a path of a thousand bytes")
def long_path_of_msgpack(folder):
    array = b"\x93\x90\xa5uint8\xc4\x01\x07"
    array = b"\xc7" + bytes([len(array)]) + b"\x01" + array
    content = b"\xdf" + struct.pack(">I", 199_000) + b"".join(b"\xa6%06d" % number + array for number in range(199_000))
    for _ in range(5):
        content = b"\x81\xd9\xc8" + b"k" * 200 + content
    return put(folder / "flax_model.msgpack", content)


@case("TensorFlow: a block that ends beyond any number")
def endless_block(folder):
    good = table([HEADER])
    # The index block's one entry has the address and size of the data block.
    far = varint(1 << 62) * 2
    empty = struct.pack("<II", 0, 1)
    index = b"\x00\x01" + varint(len(far)) + b"z" + far + empty

    start = len(block(empty))
    footer = (b"\x00" + varint(len(empty)) + varint(start) + varint(len(index))).ljust(40, b"\0")
    return put(folder / "m.ckpt.index", block(empty) + block(index) + footer + good[-8:])


def old_hdf5(folder, write):
    with h5py.File(folder / "m.h5", "w", libver="earliest") as file:
        write(file)
    return folder / "m.h5", bytearray((folder / "m.h5").read_bytes())


@case("HDF5: links that no path can name")
def links_of_slashes(folder):
    def write(file):
        file["QQ"] = np.zeros(2, np.float32)
        file["a!" * 30_000] = np.zeros(2, np.float32)
        file.attrs["layer_names"] = np.array([b"a"], "S1")

    path, content = old_hdf5(folder, write)
    return put(path, content.replace(b"QQ\0", b"//\0").replace(b"a!", b"a/"))


@case("HDF5: a group's tree of 100,000 levels")
def deep_names(folder):
    path, content = old_hdf5(folder, lambda file: file.create_dataset("w", data=np.zeros(1, np.float32)))
    first, base, count = bytes(content).index(b"TREE") + 32, len(content), 100_000
    child = content[first : first + 8]
    content[first : first + 8] = struct.pack("<Q", base)
    for number in range(count):
        below = struct.pack("<Q", base + 48 * (number + 1)) if number < count - 1 else child
        content += b"TREE\0\1" + struct.pack("<HqqQ", 1, -1, -1, 0) + below + bytes(8)
    content[40:48] = struct.pack("<Q", len(content))
    return put(path, content)


@case("HDF5: a tree of chunks of 100,000 levels")
def deep_chunks(folder):
    def write(file):
        file.create_dataset("w", (4,), "f4", chunks=(2,))[:] = 1

    path, content = old_hdf5(folder, write)
    root, base = bytes(content).index(b"TREE\1"), len(content)

    def node(below):
        return b"TREE\1\1" + struct.pack("<Hqq", 1, -1, -1) + struct.pack("<IIQQQ", 8, 0, 0, 0, below)

    size = len(node(0))
    content += b"".join(node(base + size * (number + 1)) for number in range(99_999)) + content[root : root + 200]
    content[root : root + size] = node(base)
    content[40:48] = struct.pack("<Q", len(content))
    return put(path, content)


@case("HDF5: a group of 8,000 links under 8,000 names")
def one_group(folder):
    def write(file):
        group = file.create_group("g")
        file["w"] = np.zeros(1, np.float32)
        for number in range(8000):
            group[str(number)] = h5py.SoftLink("/w")
            file[f"h{number}"] = group

    return hdf5(folder, write)


@case("HDF5: a dataset of 2,000 attributes under 20,000 names")
def one_dataset_of_attributes(folder):
    def write(file):
        data = file.create_dataset("w", data=np.zeros(1, np.float32))
        for number in range(2000):
            data.attrs[f"a{number}"] = np.uint8(1)
        for number in range(20_000):
            file[f"h{number}"] = data

    return old_hdf5(folder, write)[0]


@case("HDF5: a long path before 12,000 names of weights, thirty times")
def names_of_weights(folder):
    def write(file):
        for number in range(30):
            group = file.create_group(f"{number}" + "g" * 60_000)
            group.attrs["weight_names"] = np.array([b"%05d" % index for index in range(12_000)], "S5")
            group["x"] = np.zeros(2, np.float32)

    return hdf5(folder, write)


@case("HDF5: 20,000 soft links below a long path")
def soft_links(folder):
    def write(file):
        file["w"] = np.zeros(1, np.float32)
        group = file.create_group("g" * 60_000)
        for number in range(20_000):
            group[str(number)] = h5py.SoftLink("/w")

    return hdf5(folder, write)


@case("HDF5: millions of chunks that were never written")
def unwritten_chunks(folder):
    def write(file):
        for number in range(3):
            file.create_dataset(f"a{number}", (1 << 24,), "u1", chunks=(1,), maxshape=(None,))[0] = 1

    return hdf5(folder, write)


# --- what is honest and large

LARGE = collections.OrderedDict()


def large(name):
    def register(function):
        LARGE[name] = function
        return function

    return register


COUNT = 100_000


def names():
    for number in range(COUNT):
        yield f"encoder.layer.{number // 16}.attention.self.part.{number % 16}.weight"


@large("safetensors")
def large_safetensors(folder):
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names())}
    return put(folder / "m.safetensors", safetensors_file(header, bytes(4 * COUNT)))


@large("npz")
def large_npz(folder):
    return put(folder / "m.npz", archive([entry(name + ".npy", npy("(1,)") + bytes(4)) for name in names()]))


@large("torch zip, one storage")
def large_torch(folder):
    whole = torch.zeros(COUNT)
    torch.save({name: whole[n : n + 1] for n, name in enumerate(names())}, folder / "m.pt")
    return folder / "m.pt"


@large("torch zip, a storage each")
def large_torch_storages(folder):
    torch.save({name: torch.zeros(1) for name in names()}, folder / "m.pt")
    return folder / "m.pt"


@large("torch legacy")
def large_torch_legacy(folder):
    torch.save({name: torch.zeros(1) for name in names()}, folder / "m.pt", _use_new_zipfile_serialization=False)
    return folder / "m.pt"


@large("TensorFlow")
def large_tensorflow(folder):
    data = bytes(4)
    put(folder / "m.ckpt.data-00000-of-00001", data * COUNT)
    checksum = b"\x35" + struct.pack("<I", masked(crc32c(data)))
    entries = [HEADER]
    for number, name in enumerate(sorted(names())):
        value = b"\x08\x01\x12\x04\x12\x02\x08\x01" + (b"\x20" + varint(4 * number) if number else b"") + b"\x28\x04"
        entries.append((0, name.encode(), value + checksum))
    return put(folder / "m.ckpt.index", table(entries))


@large("HDF5")
def large_hdf5(folder):
    def write(file):
        for name in names():
            file.create_dataset(name, data=np.zeros(1, np.float32))

    return hdf5(folder, write)


# Runs a program in a fresh process of its own, since the largest memory of a process counts that of the one which it was
# forked from: what the program prints goes to standard output, what it took to standard error.
MEASURE = """
import os, resource, sys
child = os.fork()
if child == 0:
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    os.dup2(1, 2)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
"""


class Budgets(InteropTest):
    def measured(self, *arguments):
        """Runs the program: its exit status, what it printed, its seconds of processor time and its KiB of memory."""
        with open(self.folder / "printed", "w+b") as printed:
            command = [sys.executable, "-S", "-c", MEASURE, BINARY, *map(str, arguments)]
            took = subprocess.run(command, stdout=printed, stderr=subprocess.PIPE, check=True).stderr.split()
            printed.seek(0)
            text = printed.read(4000).decode("utf-8", "replace")
        status, seconds, memory = int(took[0]), float(took[1]), int(took[2])
        if os.environ.get("BUDGETS") == "all":
            print(f"{status:3} {seconds:6.2f} s {memory >> 10:5} MiB  {' '.join(map(str, arguments))[-150:]}", file=sys.stderr)
        return status, f"{seconds:.2f} s, {memory >> 10} MiB: {text}", seconds, memory

    def test_bombs(self):
        for name, write in CASES.items():
            folder = self.folder / re.sub(r"\W+", "-", name)
            folder.mkdir()
            source = write(folder)
            output = folder / "out.safetensors"
            for command in (
                ["inspect", source], ["inspect", source, "--stats", "--json"],
                ["convert", "auto-to-native", source, "-o", output],
            ):  # fmt: skip
                with self.subTest(name, command=" ".join(map(str, command[::2]))):
                    status, printed, seconds, memory = self.measured(*command)
                    self.assertIn(status, (DONE, UNUSABLE), printed)
                    self.assertLess(seconds, SECONDS, printed)
                    self.assertLess(memory, KIBIBYTES, printed)
                    self.assertFalse(output.exists() and status != DONE)
            shutil.rmtree(folder)

    def test_a_hundred_thousand_tensors_are_listed_soon(self):
        for name, write in LARGE.items():
            folder = self.folder / re.sub(r"\W+", "-", "large " + name)
            folder.mkdir()
            source = write(folder)
            for form in ([], ["--json"]):
                with self.subTest(name, form=form):
                    status, printed, seconds, memory = self.measured("inspect", source, *form)
                    self.assertEqual(status, DONE, printed)
                    self.assertLess(seconds, SECONDS, printed)
                    self.assertLess(memory, KIBIBYTES, printed)
            shutil.rmtree(folder)


if __name__ == "__main__":
    unittest.main()
