#!/usr/bin/env bash
# Makes tensor_bundle.pb-c.{h,c} anew (Debian's protobuf-c-compiler 1.4.1); run it after tensor_bundle.proto changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
protoc-c --c_out=.. tensor_bundle.proto
mv ../tensor_bundle.pb-c.h ../include/
