//! The calls by which torch pickles a tensor, read as tensors.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::{
    DType, Error, Layout, Limits, Memory, PerUnit, Place, Result, Role, Storage, Tensor, View,
};

use super::legacy;
use super::names::{modern_module, storage_dtype, torch_dtype};
use super::records::Records;
use super::sparse;
use crate::pickle::{Node, NodeId, Object, Pickle};
use crate::source::Source;

/// Longest list of per-channel scales that is taken; one a channel, so far beyond any real layer.
const MAX_CHANNELS: u64 = 1 << 22;

/// Reads tensors out of a pickle.
pub struct Rebuilder<'a> {
    /// The pickle's tree.
    pub pickle: &'a Pickle,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where the storages are.
    pub records: &'a dyn Records,
    /// What the file may ask for.
    pub limits: &'a Limits,
    /// Storages that stand within the pickle, by the node of their bytes.
    nested: RefCell<HashMap<NodeId, Stored>>,
    /// Bytes that were written as text, by the node of the text and whether they are it as it is: many arrays may
    /// name one text.
    pub(super) decoded: RefCell<HashMap<(NodeId, bool), Source>>,
}

/// What a call turned out to make.
pub enum Rebuilt {
    /// A tensor, still without a name.
    Tensor(Tensor),
    /// A sparse tensor: the dense one, or why there is none; and its parts.
    Sparse(Box<Result<Tensor, String>>, Vec<(&'static str, NodeId)>),
}

/// A reference to a storage, or to part of one.
#[derive(Clone)]
struct Stored {
    storage: Arc<dyn Storage>,
    dtype: Option<DType>,
    big_endian: bool,
    /// The part, in elements.
    part: Option<(u64, u64)>,
}

impl<'a> Rebuilder<'a> {
    /// Over a pickle, which `bytes` begin with.
    pub fn new(pickle: &'a Pickle, bytes: &'a [u8], records: &'a dyn Records, limits: &'a Limits) -> Self {
        Rebuilder { pickle, bytes, records, limits, nested: RefCell::default(), decoded: RefCell::default() }
    }

    /// The tensor that an object stands for; `None` where it stands for something else.
    ///
    /// # Errors
    /// A call with arguments that torch would not have written, a view that leaves its storage.
    pub fn rebuild(&self, object: &Object) -> Result<Option<Rebuilt>> {
        self.rebuild_call(object.callable, object.args, 0)
    }

    fn rebuild_call(&self, callable: NodeId, args: NodeId, depth: usize) -> Result<Option<Rebuilt>> {
        let Some((module, name)) = self.pickle.global(callable) else { return Ok(None) };
        let args = match self.pickle.sequence(args) {
            Some(args) => args,
            None => return Ok(None),
        };
        if depth > 8 {
            return Err(self.fault("tensors wrapped in tensors, beyond any that torch writes"));
        }
        let tensor = match (modern_module(module), name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                self.with_lazy_signs(self.strided(args, None)?, args.get(6))
            }
            ("torch._utils", "_rebuild_tensor_v3") => {
                let dtype = self.dtype(self.arg(args, 6)?)?;
                self.with_lazy_signs(self.strided(args, Some(dtype))?, args.get(7))
            }
            ("torch._utils", "_rebuild_qtensor") => self.quantized(args)?,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                return Ok(match self.inner(self.arg(args, 0)?, depth)? {
                    Some(Rebuilt::Tensor(t)) => Some(Rebuilt::Tensor(t.with_role(Role::Parameter, false))),
                    other => other,
                });
            }
            ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type")
            | ("torch._utils", "_rebuild_from_type_v2" | "_rebuild_from_type") => {
                // (function, type, its arguments, attributes)
                return self.rebuild_call(self.arg(args, 0)?, self.arg(args, 2)?, depth + 1);
            }
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                return self.sparse(args).map(Some);
            }
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
                let dtype = self.dtype(self.arg(args, 0)?)?;
                let shape = self.sizes(self.arg(args, 1)?)?;
                let mut tensor =
                    Tensor::contiguous("", dtype, vec![0], Arc::new(Memory::new([])), &self.place())?;
                (tensor.shape, tensor.layout) = (shape, Layout::Opaque);
                tensor
            }
            // Parameters and variables before 0.4: the class called with the tensor.
            ("torch.nn.parameter", "Parameter" | "Buffer") | ("torch.autograd.variable", "Variable") => {
                let Some(&data) = args.first() else { return Ok(None) };
                let role = if name == "Parameter" { Role::Parameter } else { Role::Buffer };
                return Ok(match self.inner(data, depth)? {
                    Some(Rebuilt::Tensor(t)) if name != "Variable" => {
                        Some(Rebuilt::Tensor(t.with_role(role, false)))
                    }
                    other => other,
                });
            }
            ("copyreg", "__newobj__") => {
                let Some((&class, args)) = args.split_first() else { return Ok(None) };
                return match (self.pickle.global(class), args) {
                    (Some(("torch.nn.parameter", "Parameter")), &[data]) => {
                        let rebuilt = self.inner(data, depth)?;
                        Ok(rebuilt.map(|r| match r {
                            Rebuilt::Tensor(t) => Rebuilt::Tensor(t.with_role(Role::Parameter, false)),
                            other => other,
                        }))
                    }
                    (Some(("torch.autograd.variable", "Variable")), &[data]) => self.inner(data, depth),
                    _ => Ok(None),
                };
            }
            (
                "torch._utils",
                "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_device_tensor_from_numpy"
                | "_rebuild_xla_tensor",
            ) => return self.inner(self.arg(args, 0)?, depth),
            ("numpy._core.numeric", "_frombuffer") => {
                return Ok(self.buffer_array(args)?.map(Rebuilt::Tensor));
            }
            _ => return Ok(None),
        };
        Ok(Some(Rebuilt::Tensor(tensor)))
    }

    fn inner(&self, id: NodeId, depth: usize) -> Result<Option<Rebuilt>> {
        match self.pickle.node(id) {
            Node::Object(object) => match self.array(object)? {
                Some(tensor) => Ok(Some(Rebuilt::Tensor(tensor))),
                None => self.rebuild_call(object.callable, object.args, depth + 1),
            },
            Node::Persistent(key) => Ok(self.kept(*key).map(Rebuilt::Tensor)),
            _ => Ok(None),
        }
    }

    /// The tensor that the container keeps outside of the pickle.
    fn kept(&self, key: NodeId) -> Option<Tensor> {
        match self.pickle.node(key) {
            Node::Str(key) => self.records.tensor(key),
            Node::Int(key) => self.records.tensor(&key.to_string()),
            _ => None,
        }
    }

    /// `conj()` and the imaginary part of its result are views that note a change of sign and leave the
    /// bytes; it is made in reading.
    fn with_lazy_signs(&self, mut tensor: Tensor, metadata: Option<&NodeId>) -> Tensor {
        let noted = |key| {
            let bit = metadata.and_then(|&m| self.pickle.get(m, key));
            bit.is_some_and(|bit| matches!(self.pickle.node(bit), Node::Bool(true)))
        };
        let widths = [("neg", tensor.dtype.swap_width()), ("conj", tensor.dtype.chunk_bytes())];
        for (key, width) in widths {
            if noted(key) {
                tensor.storage = Arc::new(PerUnit::sign_flipped(tensor.storage, width));
            }
        }
        tensor
    }

    /// `(storage, offset, size, stride, …)`.
    fn strided(&self, args: &[NodeId], dtype: Option<DType>) -> Result<Tensor> {
        let stored = self.stored(self.arg(args, 0)?)?;
        let dtype = dtype
            .or(stored.dtype)
            .ok_or_else(|| self.fault("a tensor over an untyped storage that tells no dtype"))?;
        let offset = self.unsigned(self.arg(args, 1)?, "storage offset")?;
        let shape = self.sizes(self.arg(args, 2)?)?;
        let strides = self
            .items(self.arg(args, 3)?, "strides")?
            .iter()
            .map(|&s| self.pickle.int(s).ok_or_else(|| self.fault("a stride that is no whole number")))
            .collect::<Result<Vec<i64>>>()?;
        let (mut shape, mut strides, mut offset) = (shape, strides, offset);
        if dtype == DType::F4E2M1 {
            // float4_e2m1fn_x2 counts pairs; the last dimension is the one that they lie along.
            offset = offset.saturating_mul(2);
            let last = shape.len().saturating_sub(1);
            if strides.last() != Some(&1) {
                return Err(Error::unsupported(
                    self.place(),
                    "pairs of F4 that do not lie along the last dimension",
                ));
            }
            shape[last] = shape[last].saturating_mul(2);
            strides[..last].iter_mut().for_each(|s| *s = s.saturating_mul(2));
        }
        if let Some((first, count)) = stored.part {
            let view = View { offset, strides: strides.clone() };
            if view.bounds(&shape).is_some_and(|(_, end)| end > count) {
                return Err(
                    self.fault(format!("{shape:?} at {offset} in a part of {count} elements of a storage"))
                );
            }
            offset = offset.saturating_add(first);
        }
        let storage = match stored.big_endian && dtype.swap_width() > 1 {
            true => Arc::new(PerUnit::swapped(stored.storage, dtype.swap_width())) as Arc<dyn Storage>,
            false => stored.storage,
        };
        Tensor::strided("", dtype, shape, View { offset, strides }, storage, &self.place())
    }

    /// `(storage, offset, size, stride, (scheme, …), …)`: codes, with what they mean.
    fn quantized(&self, args: &[NodeId]) -> Result<Tensor> {
        let mut tensor = self.strided(args, None)?;
        let params = self.items(self.arg(args, 4)?, "quantizer parameters")?;
        let scheme = self.pickle.global(self.arg(params, 0)?).map(|(_, name)| name);
        let (scales, zero_points, axis) = match scheme {
            Some("per_tensor_affine") => {
                let scale = self.pickle.float(self.arg(params, 1)?);
                let zero = self.pickle.int(self.arg(params, 2)?);
                match (scale, zero) {
                    (Some(scale), Some(zero)) => (vec![scale], vec![zero], None),
                    _ => return Err(self.fault("a scale or zero point that is no number")),
                }
            }
            Some("per_channel_affine" | "per_channel_affine_float_qparams") => {
                let axis = self.unsigned(self.arg(params, 3)?, "quantization axis")? as usize;
                let channels = *tensor
                    .shape
                    .get(axis)
                    .ok_or_else(|| self.fault(format!("axis {axis} of a tensor of {:?}", tensor.shape)))?;
                let scales = self.numbers(self.arg(params, 1)?, channels)?;
                let zeros = self.numbers(self.arg(params, 2)?, channels)?;
                (scales, zeros.into_iter().map(|z| z as i64).collect(), Some(axis))
            }
            other => {
                let what = format!("quantization scheme {}", other.unwrap_or("without a name"));
                return Err(Error::unsupported(self.place(), what));
            }
        };
        if let Layout::Strided(view) = tensor.layout {
            tensor.layout = Layout::Quantized { view, scales, zero_points, axis };
        }
        Ok(tensor.with_role(Role::Packed, false))
    }

    /// A list of numbers, or a small tensor of them.
    fn numbers(&self, id: NodeId, expected: u64) -> Result<Vec<f64>> {
        let numbers: Vec<f64> = match self.pickle.sequence(id) {
            Some(items) => items.iter().filter_map(|&i| self.pickle.float(i)).collect(),
            None => match self.inner(id, 0)? {
                Some(Rebuilt::Tensor(t)) if t.count() == expected && expected <= MAX_CHANNELS => {
                    let mut values = Vec::new();
                    t.visit_values(0..expected, &mut |_, chunk| {
                        values.extend_from_slice(chunk);
                        Ok(())
                    })?;
                    values
                }
                _ => Vec::new(),
            },
        };
        if numbers.len() as u64 != expected {
            return Err(
                self.fault(format!("{} scales or zero points for {expected} channels", numbers.len()))
            );
        }
        Ok(numbers)
    }

    /// `(layout, components)`.
    fn sparse(&self, args: &[NodeId]) -> Result<Rebuilt> {
        // `torch.sparse_coo`, by name or as torch.serialization._get_layout('torch.sparse_coo').
        let layout = self.arg(args, 0)?;
        let layout = match self.pickle.node(layout) {
            Node::Object(call) => self.pickle.sequence(call.args).and_then(|a| self.pickle.str(*a.first()?)),
            _ => self.pickle.global(layout).map(|(_, name)| name),
        };
        let layout = layout.unwrap_or_default().trim_start_matches("torch.");
        let names: &[&'static str] = match layout {
            "sparse_coo" => &["indices", "values"],
            "sparse_csr" | "sparse_bsr" => &["crow_indices", "col_indices", "values"],
            "sparse_csc" | "sparse_bsc" => &["ccol_indices", "row_indices", "values"],
            _ => return Err(Error::unsupported(self.place(), "a sparse tensor of an unknown layout")),
        };
        let data = self.items(self.arg(args, 1)?, "sparse components")?;
        if data.len() < names.len() {
            return Err(self.fault("a sparse tensor without its components"));
        }
        let parts = names
            .iter()
            .zip(data)
            .map(|(name, &id)| match self.inner(id, 0)? {
                Some(Rebuilt::Tensor(tensor)) => Ok(tensor),
                _ => Err(self.fault(format!("a sparse tensor whose {name} are no tensor"))),
            })
            .collect::<Result<Vec<_>>>()?;
        let shape = match data.get(names.len()) {
            Some(&size) => self.sizes(size)?,
            None => return Err(self.fault("a sparse tensor without its size")),
        };
        let coalesced =
            data.get(names.len() + 1).is_some_and(|&flag| matches!(self.pickle.node(flag), Node::Bool(true)));
        let dense = sparse::dense(layout, parts, shape, coalesced, &self.place());
        Ok(Rebuilt::Sparse(Box::new(dense), names.iter().copied().zip(data.iter().copied()).collect()))
    }

    /// A raw storage that was pickled by itself, as a vector.
    ///
    /// # Errors
    /// As the storage's own.
    pub fn bare_storage(&self, id: NodeId) -> Result<Option<Tensor>> {
        if let Node::Persistent(key) = self.pickle.node(id)
            && let Some(tensor) = self.kept(*key)
        {
            return Ok(Some(tensor));
        }
        let stored = self.stored(id)?;
        let dtype = stored.dtype.unwrap_or(DType::U8);
        let all = stored.storage.len().saturating_mul(8) / u64::from(dtype.bits().max(1));
        let (first, count) = stored.part.unwrap_or((0, all));
        let view = View { offset: first, strides: vec![1] };
        let mut tensor = Tensor::strided("", dtype, vec![count], view, stored.storage, &self.place())?;
        if stored.big_endian && dtype.swap_width() > 1 {
            tensor.storage = Arc::new(PerUnit::swapped(tensor.storage, dtype.swap_width()));
        }
        Ok(Some(tensor.with_role(Role::Other, true)))
    }

    /// The persistent id `('storage', class, key, location, numel)`, in legacy files with a sixth item for
    /// parts of storages; or a storage that was pickled without torch.save, which is one within the pickle.
    fn stored(&self, id: NodeId) -> Result<Stored> {
        let pid = match self.pickle.node(id) {
            Node::Persistent(pid) => self.items(*pid, "persistent id")?,
            Node::Object(call) if self.is_loaded_storage(call) => return self.nested(call),
            _ => return Err(self.fault("a tensor over something that is no storage")),
        };
        if pid.len() < 5 || self.pickle.str(pid[0]) != Some("storage") {
            return Err(self.fault("a persistent id that names no storage"));
        }
        let class = self.pickle.global(pid[1]).map(|(_, name)| name).unwrap_or_default();
        let dtype = storage_dtype(class);
        if dtype.is_none() && !matches!(class, "UntypedStorage" | "TypedStorage") {
            let what = format!("a storage of class '{}'", class.escape_debug());
            return Err(Error::unsupported(self.place(), what));
        }
        let key = match self.pickle.node(pid[2]) {
            Node::Str(key) => key.to_string(),
            Node::Int(key) => key.to_string(),
            _ => return Err(self.fault("a storage whose key is no string")),
        };
        let numel = self.unsigned(pid[4], "storage size")?;
        let storage = self.records.storage(&key)?;
        // Types of less than a byte count their elements in ways that differ by version.
        let width = dtype.map_or(8, DType::bits);
        if width >= 8 && numel.checked_mul(u64::from(width / 8)).is_none_or(|n| n > storage.len()) {
            let what = format!(
                "storage '{key}' should have {numel} elements, and there are {} bytes",
                storage.len()
            );
            return Err(self.fault(what));
        }
        let part = match pid.get(5).and_then(|&view| self.pickle.sequence(view)) {
            Some(&[_, first, count]) => {
                let first = self.unsigned(first, "storage offset")?;
                let count = self.unsigned(count, "storage size")?;
                if first.checked_add(count).is_none_or(|end| end > numel) {
                    return Err(self.fault(format!("a part of {count} elements leaves storage '{key}'")));
                }
                Some((first, count))
            }
            _ => None,
        };
        Ok(Stored { storage, dtype, big_endian: self.records.big_endian(), part })
    }

    /// Whether an object is a storage that stands within the pickle.
    pub(super) fn is_loaded_storage(&self, object: &Object) -> bool {
        self.is(object.callable, "torch.storage", "_load_from_bytes")
    }

    /// `_load_from_bytes(bytes)`: a legacy file of one storage, within the pickle.
    fn nested(&self, call: &Object) -> Result<Stored> {
        let bytes = self.arg(self.items(call.args, "a call's arguments")?, 0)?;
        let key = self.text_of(bytes).unwrap_or(bytes);
        if let Some(stored) = self.nested.borrow().get(&key) {
            return Ok(stored.clone());
        }
        let file =
            self.raw(bytes)?.ok_or_else(|| self.fault("a storage within the pickle that is no bytes"))?;
        let (records, bytes_, pickle) = legacy::open(&file, 0..file.len(), self.limits)?;
        if !matches!(pickle.node(pickle.root), Node::Persistent(_)) {
            return Err(self.fault("a storage within the pickle that is no storage"));
        }
        let stored = Rebuilder::new(&pickle, &bytes_, &records, self.limits).stored(pickle.root)?;
        self.nested.borrow_mut().insert(key, stored.clone());
        Ok(stored)
    }

    fn dtype(&self, id: NodeId) -> Result<DType> {
        let (_, name) = self.pickle.global(id).ok_or_else(|| self.fault("a dtype that is no name"))?;
        torch_dtype(name)
            .ok_or_else(|| Error::unsupported(self.place(), format!("dtype '{}'", name.escape_debug())))
    }

    /// A shape: a tuple, or `torch.Size` of one.
    pub(super) fn sizes(&self, id: NodeId) -> Result<Vec<u64>> {
        let id = match self.pickle.node(id) {
            Node::Object(object) => self.arg(self.items(object.args, "torch.Size")?, 0)?,
            _ => id,
        };
        let items = self.items(id, "shape")?;
        if items.len() > self.limits.dims {
            return Err(Error::Limit {
                place: self.place(),
                what: "dimensions",
                asked: items.len() as u64,
                allowed: self.limits.dims as u64,
            });
        }
        items.iter().map(|&n| self.unsigned(n, "size")).collect()
    }

    pub(super) fn unsigned(&self, id: NodeId, what: &str) -> Result<u64> {
        match self.pickle.int(id) {
            Some(n) => u64::try_from(n).map_err(|_| self.fault(format!("a negative {what}: {n}"))),
            None => Err(self.fault(format!("a {what} that is no whole number"))),
        }
    }

    pub(super) fn items(&self, id: NodeId, what: &str) -> Result<&[NodeId]> {
        self.pickle.sequence(id).ok_or_else(|| self.fault(format!("{what} that are no tuple")))
    }

    pub(super) fn arg(&self, args: &[NodeId], i: usize) -> Result<NodeId> {
        args.get(i).copied().ok_or_else(|| self.fault(format!("a call with {} arguments", args.len())))
    }

    pub(super) fn place(&self) -> Place {
        // The tensor's name, which the caller adds, says more than an offset in a pickle.
        Place { offset: None, ..self.records.place(0) }
    }

    pub(super) fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.place(), what)
    }
}
