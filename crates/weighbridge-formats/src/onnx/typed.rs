//! Elements in a tensor's typed fields (`float_data`, `int32_data`…), narrowed as they are read.

use std::sync::Arc;

use weighbridge_model::{DType, Error, Result, Storage};

use crate::protobuf::Message;
use crate::typed::{self, Entry, Unit};

/// The number of the field that holds elements of this type, and how.
fn entry_of(dtype: DType) -> Option<(u32, Entry)> {
    const FLOATS: u32 = 4;
    const INT32S: u32 = 5;
    const INT64S: u32 = 7;
    const DOUBLES: u32 = 10;
    const UINT64S: u32 = 11;
    Some(match dtype {
        DType::F32 | DType::C64 => (FLOATS, Entry::Fixed { width: 4 }),
        DType::F64 | DType::C128 => (DOUBLES, Entry::Fixed { width: 8 }),
        DType::I64 => (INT64S, Entry::Varint { width: 8 }),
        DType::U64 => (UINT64S, Entry::Varint { width: 8 }),
        DType::U32 => (UINT64S, Entry::Varint { width: 4 }),
        DType::Bool => (INT32S, Entry::Truth),
        DType::Str => return None,
        // Elements of less than a byte come a byte an entry, as they are packed in it.
        narrow => (INT32S, Entry::Varint { width: narrow.chunk_bytes() as u64 }),
    })
}

/// The elements of a tensor in its typed field. One run of fixed-width numbers is its own storage; anything
/// else is decoded as it is visited.
///
/// # Errors
/// Where the field does not hold exactly the `bytes` that the shape asks for.
pub(super) fn storage(message: &Message<'_>, dtype: DType, bytes: u64) -> Result<Arc<dyn Storage>> {
    let Some((number, entry)) = entry_of(dtype) else {
        return Err(Error::unsupported(message.place(), format!("{dtype} elements in a typed field")));
    };
    let held = typed::held(message, number, entry)?;
    let (asked, count) = (bytes / entry.width(), held.count);
    if count != asked {
        let what = format!("its shape asks for {asked} entries of field {number}, which has {count}");
        return Err(Error::malformed(message.place(), what));
    }
    typed::storage(message, held, Unit { bytes, element: entry.width() })
}
