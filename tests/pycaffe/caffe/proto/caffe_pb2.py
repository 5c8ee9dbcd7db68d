"""What protoc makes of BVLC's caffe.proto: messages registered as `caffe.Datum` and so on in protobuf's own pool."""

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.internal import builder

from pydeepexpr.caffe.proto import caffe_pb2 as _own

_file = descriptor_pb2.FileDescriptorProto()
_own.DESCRIPTOR.CopyToProto(_file)
_file = text_format.Parse(str(_file).replace("pydeepexpr.caffe", "caffe"), descriptor_pb2.FileDescriptorProto())
_file.name = "caffe.proto"

DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(_file.SerializeToString())
builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())
