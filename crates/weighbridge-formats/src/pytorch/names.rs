//! Names that PyTorch and NumPy pickle, and the element types behind them.

use weighbridge_model::DType;

/// The element type of a storage class: `FloatStorage` of `torch`, `torch.cuda` and the like. `None` for
/// storages of bytes whose type their tensors tell (`UntypedStorage`), and for names that are none.
pub fn storage_dtype(class: &str) -> Option<DType> {
    Some(match class.strip_suffix("Storage")? {
        "Double" => DType::F64,
        "Float" => DType::F32,
        "Half" => DType::F16,
        "BFloat16" => DType::BF16,
        "Long" => DType::I64,
        "Int" | "QInt32" => DType::I32,
        "Short" => DType::I16,
        "Char" | "QInt8" => DType::I8,
        "Byte" | "QUInt8" => DType::U8,
        "QUInt4x2" => DType::U4,
        "QUInt2x4" => DType::U2,
        "Bool" => DType::Bool,
        "ComplexHalf" => DType::C32,
        "ComplexFloat" => DType::C64,
        "ComplexDouble" => DType::C128,
        _ => return None,
    })
}

/// The storage class that torch keeps elements of a type in; types that came after such classes have none.
pub fn storage_class(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "DoubleStorage",
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        DType::Bool => "BoolStorage",
        DType::C64 => "ComplexFloatStorage",
        DType::C128 => "ComplexDoubleStorage",
        _ => return None,
    })
}

/// The storage class of a quantized tensor's codes.
pub fn code_class(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::I8 => "QInt8Storage",
        DType::U8 => "QUInt8Storage",
        DType::I32 => "QInt32Storage",
        _ => return None,
    })
}

/// The `torch.<name>` of a type that has no storage class.
pub fn dtype_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::U16 => "uint16",
        DType::U32 => "uint32",
        DType::U64 => "uint64",
        DType::F8E4M3 => "float8_e4m3fn",
        DType::F8E5M2 => "float8_e5m2",
        DType::F8E4M3Fnuz => "float8_e4m3fnuz",
        DType::F8E5M2Fnuz => "float8_e5m2fnuz",
        DType::F8E8M0 => "float8_e8m0fnu",
        DType::F4E2M1 => "float4_e2m1fn_x2",
        DType::C32 => "complex32",
        _ => return None,
    })
}

/// The element type of a `torch.<name>` dtype object.
pub fn torch_dtype(name: &str) -> Option<DType> {
    Some(match name {
        "float64" | "double" => DType::F64,
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "float8_e4m3fn" => DType::F8E4M3,
        "float8_e5m2" => DType::F8E5M2,
        "float8_e4m3fnuz" => DType::F8E4M3Fnuz,
        "float8_e5m2fnuz" => DType::F8E5M2Fnuz,
        "float8_e8m0fnu" => DType::F8E8M0,
        "int64" | "long" => DType::I64,
        "int32" | "int" | "qint32" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" | "qint8" => DType::I8,
        "uint8" | "quint8" => DType::U8,
        "uint16" => DType::U16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        "bool" => DType::Bool,
        "float4_e2m1fn_x2" => DType::F4E2M1,
        "complex32" | "chalf" => DType::C32,
        "complex64" | "cfloat" => DType::C64,
        "complex128" | "cdouble" => DType::C128,
        _ => return None,
    })
}

/// The element type of a NumPy dtype string without its byte order (`f4`, `i8`).
pub fn numpy_dtype(code: &str) -> Option<DType> {
    Some(match code {
        "f8" => DType::F64,
        "f4" => DType::F32,
        "f2" => DType::F16,
        "i8" => DType::I64,
        "i4" => DType::I32,
        "i2" => DType::I16,
        "i1" => DType::I8,
        "u8" => DType::U64,
        "u4" => DType::U32,
        "u2" => DType::U16,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        "c8" => DType::C64,
        "c16" => DType::C128,
        _ => return None,
    })
}

/// Module paths in today's spelling: Python 2's builtins, NumPy's move to `_core`.
pub fn modern_module(module: &str) -> &str {
    match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "numpy.core.multiarray" => "numpy._core.multiarray",
        "numpy.core.numeric" => "numpy._core.numeric",
        other => other,
    }
}
