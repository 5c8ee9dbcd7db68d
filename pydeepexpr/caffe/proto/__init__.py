"""Messages of Caffe (caffe_pb2), generated from caffe.proto."""

from . import caffe_pb2

__all__ = ["caffe_pb2"]
