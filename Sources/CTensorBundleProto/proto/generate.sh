#!/usr/bin/env bash
# Makes tensor_bundle.pb-c.{h,c} and graph.pb-c.{h,c} again (Debian's protobuf-c-compiler 1.4.1); run it after a .proto
# file changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for name in tensor_bundle graph; do
  protoc-c --c_out=.. "$name.proto"
  mv "../$name.pb-c.h" ../include/
done
