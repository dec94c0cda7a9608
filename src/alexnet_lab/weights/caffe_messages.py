"""The part of Caffe's caffe.proto that it takes to read AlexNet's weights, for the `protobuf` package.

Fields that are not declared here are skipped. Numbers that are packed (blobs' data) are declared as bytes: `protobuf`
would make a Python object of each. Layers have two formats, V1 and the one after it, with the same names here.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# By message and field: number, type (with a * where the field is repeated) and, where Caffe has one, default.
SCHEMA: dict[str, dict[str, tuple[int, str] | tuple[int, str, str]]] = {
    "NetParameter": {"layers": (2, "V1LayerParameter*"), "layer": (100, "LayerParameter*")},
    "LayerParameter": {
        "name": (1, "string"),
        "type": (2, "string"),
        "blobs": (7, "BlobProto*"),
        "convolution": (106, "ConvolutionParameter"),
        "inner_product": (117, "InnerProductParameter"),
        "lrn": (118, "LRNParameter"),
    },
    "V1LayerParameter": {
        "name": (4, "string"),
        "type": (5, "int32"),
        "blobs": (6, "BlobProto*"),
        "convolution": (10, "ConvolutionParameter"),
        "inner_product": (17, "InnerProductParameter"),
        "lrn": (18, "LRNParameter"),
    },
    "ConvolutionParameter": {"pad": (3, "uint32"), "group": (5, "uint32", "1"), "stride": (6, "uint32", "1")},
    "InnerProductParameter": {"transpose": (6, "bool")},
    "LRNParameter": {
        "local_size": (1, "uint32", "5"),
        "alpha": (2, "float", "1"),
        "beta": (3, "float", "0.75"),
        "norm_region": (4, "int32"),
        "k": (5, "float", "1"),
    },
    "BlobShape": {"dim": (1, "int64*")},
    "BlobProto": {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
        "data": (5, "bytes"),
        "shape": (7, "BlobShape"),
        "double_data": (8, "bytes"),
    },
}


def _net_parameter() -> Any:
    file = FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for message, fields in SCHEMA.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind, *default) in fields.items():
            field = declared.field.add(name=name, number=number, default_value=default[0] if default else None)
            field.label = FieldDescriptorProto.Label.Value("LABEL_REPEATED" if kind[-1] == "*" else "LABEL_OPTIONAL")
            if (plain := kind.rstrip("*")) in SCHEMA:
                field.type_name = f".caffe.{plain}"
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{plain.upper()}")
    pool = DescriptorPool()  # of its own: another package may have declared Caffe's messages in the common one
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


NetParameter = _net_parameter()
