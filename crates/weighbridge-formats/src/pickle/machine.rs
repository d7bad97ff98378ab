//! The stack machine.

use std::collections::HashMap;

use weighbridge_model::Limits;

use super::opcode as op;
use super::{Global, Node, NodeId, Object, Pickle, text};

/// Why a pickle cannot be interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Offset of the opcode within the pickle.
    pub offset: usize,
    /// What is wrong with it.
    pub what: String,
}

/// State while a pickle is interpreted.
pub struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
    max_nodes: usize,
    protocol: u8,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// Before the first opcode.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Machine {
            bytes,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            max_nodes: limits.items as usize,
            protocol: 0,
        }
    }

    /// Runs to STOP.
    pub fn run(mut self) -> Result<Pickle, Fault> {
        loop {
            let offset = self.at;
            let fault = |what: String| Fault { offset, what };
            let code = self.take(1).map_err(|_| fault("the pickle ends without STOP".into()))?[0];
            if code == op::STOP {
                let root = self.pop().map_err(|what| fault(format!("STOP: {what}")))?;
                return Ok(Pickle { nodes: self.nodes, root, protocol: self.protocol, len: self.at });
            }
            let named = |what: String| match op::name(code) {
                Some(name) => fault(format!("{name}: {what}")),
                None => fault(what),
            };
            self.step(code).map_err(named)?;
            if self.nodes.len() > self.max_nodes || self.stack.len() > self.max_nodes {
                return Err(fault(format!("a pickle of more than {} objects", self.max_nodes)));
            }
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            op::PROTO => {
                self.protocol = self.take(1)?[0];
                if self.protocol > 5 {
                    return Err(format!("protocol {}; the highest there is is 5", self.protocol));
                }
                Ok(())
            }
            op::FRAME => self.take(8).map(drop),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(drop)
            }
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => {
                let key = match code {
                    op::MEMOIZE => self.memo.len() as u64,
                    _ => self.memo_key(code)?,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
                Ok(())
            }
            op::GET | op::BINGET | op::LONG_BINGET => {
                let key = self.memo_key(code)?;
                let node = *self.memo.get(&key).ok_or_else(|| format!("nothing is kept under {key}"))?;
                self.stack.push(node);
                Ok(())
            }
            op::APPEND | op::APPENDS | op::ADDITEMS => self.append(code),
            op::SETITEM | op::SETITEMS => self.set_items(code),
            op::BUILD => self.build(),
            op::GLOBAL | op::STACK_GLOBAL | op::INST | op::OBJ | op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX => {
                self.call(code)
            }
            op::PERSID | op::BINPERSID => {
                let id = match code {
                    op::PERSID => {
                        let line = String::from_utf8_lossy(self.line()?).into();
                        self.add(Node::Str(line))
                    }
                    _ => self.pop()?,
                };
                self.push(Node::Persistent(id))
            }
            _ => {
                let node = self.literal(code)?;
                self.push(node)
            }
        }
    }

    /// Opcodes that push one value made of what follows them, or of the top of the stack.
    fn literal(&mut self, code: u8) -> Step<Node> {
        Ok(match code {
            op::NONE => Node::None,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT1 => Node::Int(i64::from(self.take(1)?[0])),
            op::BININT2 => Node::Int(self.length(2)? as i64),
            op::BININT => Node::Int(i64::from(self.length(4)? as u32 as i32)),
            op::INT => match self.line()? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                line => decimal(line)?,
            },
            op::LONG => {
                let line = self.line()?;
                decimal(line.strip_suffix(b"L").unwrap_or(line))?
            }
            op::LONG1 | op::LONG4 => {
                let len = self.length(if code == op::LONG1 { 1 } else { 4 })?;
                let bytes = self.take(len)?;
                text::small_long(bytes)
                    .map_or_else(|| Node::BigInt(text::long_digits(bytes).into()), Node::Int)
            }
            op::FLOAT => {
                let line = self.line()?;
                let parsed = std::str::from_utf8(line).ok().and_then(|s| s.trim().parse().ok());
                Node::Float(parsed.ok_or("not a number")?)
            }
            op::BINFLOAT => Node::Float(f64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            op::STRING => {
                let bytes = text::unescape_repr(self.line()?).ok_or("not a quoted string")?;
                String::from_utf8(bytes)
                    .map_or_else(|e| Node::Unescaped(e.into_bytes().into()), |s| Node::Str(s.into()))
            }
            op::UNICODE => Node::Str(text::unescape_unicode(self.line()?).ok_or("a bad \\u escape")?.into()),
            op::BINSTRING | op::SHORT_BINSTRING => {
                let len = self.length(if code == op::BINSTRING { 4 } else { 1 })?;
                let start = self.at;
                match std::str::from_utf8(self.take(len)?) {
                    Ok(s) => Node::Str(s.into()),
                    Err(_) => Node::Bytes(start..self.at),
                }
            }
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => {
                let len = self.length(match code {
                    op::SHORT_BINUNICODE => 1,
                    op::BINUNICODE => 4,
                    _ => 8,
                })?;
                // Lone surrogates are legal in Python ("surrogatepass"), and not in UTF-8.
                Node::Str(String::from_utf8_lossy(self.take(len)?).into())
            }
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let len = self.length(match code {
                    op::SHORT_BINBYTES => 1,
                    op::BINBYTES => 4,
                    _ => 8,
                })?;
                let start = self.at;
                self.take(len)?;
                Node::Bytes(start..self.at)
            }
            op::EMPTY_TUPLE => Node::Tuple(Vec::new()),
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::EMPTY_SET => Node::Set(Vec::new()),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::TUPLE => Node::Tuple(self.pop_mark()?),
            op::LIST => Node::List(self.pop_mark()?),
            op::FROZENSET => Node::Set(self.pop_mark()?),
            op::DICT => Node::Dict(pairs(&self.pop_mark()?)?),
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let n = usize::from(code - op::TUPLE1) + 1;
                let items: Step<Vec<NodeId>> = (0..n).map(|_| self.pop()).collect();
                let mut items = items?;
                items.reverse();
                Node::Tuple(items)
            }
            op::EXT1 | op::EXT2 | op::EXT4 => {
                let number = self.length(match code {
                    op::EXT1 => 1,
                    op::EXT2 => 2,
                    _ => 4,
                })?;
                // Registered by number in a table of the writing process (copyreg), which is not here.
                let (module, name) = ("copyreg.extension".into(), number.to_string().into());
                Node::Global(Box::new(Global { module, name }))
            }
            op::NEXT_BUFFER | op::READONLY_BUFFER => return Err("data outside of the pickle".into()),
            _ => return Err(format!("byte {code:#04x} is no pickle opcode")),
        })
    }

    fn call(&mut self, code: u8) -> Step<()> {
        let (callable, args) = match code {
            op::GLOBAL => {
                let global = self.global_lines()?;
                return self.push(global);
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: NodeId| match &self.nodes[id as usize] {
                    Node::Str(s) => Ok(s.clone()),
                    _ => Err("a name that is no string".to_owned()),
                };
                let (module, name) = (text(module)?, text(name)?);
                return self.push(Node::Global(Box::new(Global { module, name })));
            }
            op::INST => {
                let global = self.global_lines()?;
                let args = self.pop_mark()?;
                (self.add(global), self.add(Node::Tuple(args)))
            }
            op::OBJ => {
                let mut args = self.pop_mark()?;
                if args.is_empty() {
                    return Err("no class".into());
                }
                let class = args.remove(0);
                (class, self.add(Node::Tuple(args)))
            }
            op::NEWOBJ_EX => {
                let (_kwargs, args) = (self.pop()?, self.pop()?);
                (self.pop()?, args)
            }
            _ => {
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let object = Object { callable, args, state: None, items: Vec::new(), entries: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Object(object) => object.state = Some(state),
            // Subclasses that only their class could tell; what is set is then of no use to us.
            Node::Persistent(_) | Node::Global(_) | Node::Dict(_) | Node::List(_) | Node::Set(_) => {}
            _ => return Err("state for a value that has none".into()),
        }
        Ok(())
    }

    fn append(&mut self, code: u8) -> Step<()> {
        let added = if code == op::APPEND { vec![self.pop()?] } else { self.pop_mark()? };
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(items) | Node::Set(items) => items.extend(added),
            Node::Object(object) => object.items.extend(added),
            _ => return Err("items for a value that is no sequence".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, code: u8) -> Step<()> {
        let added = if code == op::SETITEM {
            let value = self.pop()?;
            vec![(self.pop()?, value)]
        } else {
            pairs(&self.pop_mark()?)?
        };
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) => entries.extend(added),
            Node::Object(object) => object.entries.extend(added),
            _ => return Err("entries for a value that is no dict".into()),
        }
        Ok(())
    }

    fn global_lines(&mut self) -> Step<Node> {
        let module = String::from_utf8_lossy(self.line()?).into();
        let name = String::from_utf8_lossy(self.line()?).into();
        Ok(Node::Global(Box::new(Global { module, name })))
    }

    fn memo_key(&mut self, code: u8) -> Step<u64> {
        match code {
            op::BINPUT | op::BINGET => Ok(u64::from(self.take(1)?[0])),
            op::LONG_BINPUT | op::LONG_BINGET => Ok(self.length(4)? as u64),
            _ => match decimal(self.line()?)? {
                Node::Int(i) if i >= 0 => Ok(i as u64),
                _ => Err("a key that is no whole number".into()),
            },
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }

    fn push(&mut self, node: Node) -> Step<()> {
        let id = self.add(node);
        self.stack.push(id);
        Ok(())
    }

    /// The top of the stack, above the last mark.
    fn top(&self) -> Step<NodeId> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("the stack is empty".into());
        }
        Ok(self.stack[self.stack.len() - 1])
    }

    fn pop(&mut self) -> Step<NodeId> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Step<Vec<NodeId>> {
        let floor = self.marks.pop().ok_or("no mark on the stack")?;
        Ok(self.stack.split_off(floor))
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        if n > left {
            return Err(format!("needs {n} bytes, and {left} are left"));
        }
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    /// A little-endian unsigned number of `width` bytes.
    fn length(&mut self, width: usize) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(self.take(width)?);
        Ok(u64::from_le_bytes(wide) as usize)
    }

    /// Up to the next line feed, which is taken and not given.
    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or("a line without an end")?;
        self.at += end + 1;
        let line = &rest[..end];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn pairs(items: &[NodeId]) -> Step<Vec<(NodeId, NodeId)>> {
    if !items.len().is_multiple_of(2) {
        return Err("a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn decimal(line: &[u8]) -> Step<Node> {
    let text = std::str::from_utf8(line).map_err(|_| "not a number")?.trim();
    if let Ok(value) = text.parse() {
        return Ok(Node::Int(value));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("'{}' is not a number", text.escape_debug().take(40).collect::<String>()));
    }
    Ok(Node::BigInt(text.into()))
}
