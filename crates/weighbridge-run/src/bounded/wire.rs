//! What goes between both processes: counts and lengths as `u64`, little-endian, texts and bytes behind their length.
//!
//! The child says first that the model is read, or why not. A request is inputs by name and the names that are wanted, a
//! reply how long the run took in nanoseconds, and an array or nothing for each.

use std::io::{self, Read, Write};

use weighbridge_model::{DType, Error, Place};

use crate::Array;

/// Inputs by name, and names of outputs.
pub(super) type Request = (Vec<(String, Array)>, Vec<String>);

/// Nanoseconds, and outputs.
pub(super) type Reply = (u64, Vec<Option<Array>>);

pub(super) fn send_request(
    to: &mut impl Write,
    inputs: &[(String, Array)],
    wanted: &[String],
) -> io::Result<()> {
    number(to, inputs.len() as u64)?;
    for (name, each) in inputs {
        bytes(to, name.as_bytes())?;
        array(to, each)?;
    }
    number(to, wanted.len() as u64)?;
    wanted.iter().try_for_each(|name| bytes(to, name.as_bytes()))?;
    to.flush()
}

pub(super) fn receive_request(from: &mut impl Read) -> io::Result<Request> {
    let mut inputs = Vec::new();
    for _ in 0..read_number(from)? {
        inputs.push((read_text(from)?, read_array(from)?));
    }
    let mut wanted = Vec::new();
    for _ in 0..read_number(from)? {
        wanted.push(read_text(from)?);
    }
    Ok((inputs, wanted))
}

pub(super) fn send_reply(to: &mut impl Write, reply: &Result<Reply, Error>) -> io::Result<()> {
    match reply {
        Ok((nanoseconds, arrays)) => {
            number(to, 1)?;
            number(to, *nanoseconds)?;
            number(to, arrays.len() as u64)?;
            for each in arrays {
                number(to, u64::from(each.is_some()))?;
                each.iter().try_for_each(|each| array(to, each))?;
            }
        }
        Err(error) => {
            number(to, 0)?;
            let (source, what, help) = match error {
                Error::Unsupported { place, what, help } => (place.to_string(), what.clone(), help.clone()),
                other => (String::new(), other.to_string(), None),
            };
            for text in [source, what, help.unwrap_or_default()] {
                bytes(to, text.as_bytes())?;
            }
        }
    }
    to.flush()
}

pub(super) fn receive_reply(from: &mut impl Read) -> io::Result<Result<Reply, Error>> {
    if read_number(from)? == 0 {
        let (source, what, help) = (read_text(from)?, read_text(from)?, read_text(from)?);
        let help = Some(help).filter(|help| !help.is_empty());
        return Ok(Err(Error::Unsupported { place: Place::source(source), what, help }));
    }
    let nanoseconds = read_number(from)?;
    let mut arrays = Vec::new();
    for _ in 0..read_number(from)? {
        let there = read_number(from)? == 1;
        arrays.push(if there { Some(read_array(from)?) } else { None });
    }
    Ok(Ok((nanoseconds, arrays)))
}

fn number(to: &mut impl Write, n: u64) -> io::Result<()> {
    to.write_all(&n.to_le_bytes())
}

fn bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    number(to, bytes.len() as u64)?;
    to.write_all(bytes)
}

fn array(to: &mut impl Write, array: &Array) -> io::Result<()> {
    bytes(to, array.dtype.name().as_bytes())?;
    number(to, array.shape.len() as u64)?;
    array.shape.iter().try_for_each(|&n| number(to, n))?;
    bytes(to, &array.bytes)
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_number(from)?;
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_text(from: &mut impl Read) -> io::Result<String> {
    String::from_utf8(read_bytes(from)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn read_array(from: &mut impl Read) -> io::Result<Array> {
    let dtype: DType = read_text(from)?.parse().map_err(|()| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut shape = Vec::new();
    for _ in 0..read_number(from)? {
        shape.push(read_number(from)?);
    }
    Ok(Array { dtype, shape, bytes: read_bytes(from)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let array = Array { dtype: DType::I64, shape: vec![2], bytes: (0..16).collect() };
        let (inputs, wanted) = (vec![("x".to_owned(), array.clone())], vec!["y".to_owned(), String::new()]);
        let mut sent = Vec::new();
        send_request(&mut sent, &inputs, &wanted).unwrap();
        assert_eq!(receive_request(&mut sent.as_slice()).unwrap(), (inputs, wanted));
        assert!(receive_request(&mut &sent[..sent.len() - 1]).is_err());

        let mut sent = Vec::new();
        let reply = (7, vec![None, Some(array)]);
        send_reply(&mut sent, &Ok(reply.clone())).unwrap();
        assert_eq!(receive_reply(&mut sent.as_slice()).unwrap().unwrap(), reply);

        let help = Some("another engine".to_owned());
        let fault = Error::Unsupported { place: Place::source("rten"), what: "no LRN".into(), help };
        let told = fault.to_string();
        let mut sent = Vec::new();
        send_reply(&mut sent, &Err(fault)).unwrap();
        assert_eq!(receive_reply(&mut sent.as_slice()).unwrap().unwrap_err().to_string(), told);
    }
}
