//! Writes pickles of protocol 2, the one that torch.save writes by default.

/// A pickle on its way.
pub struct Pickler {
    bytes: Vec<u8>,
}

impl Pickler {
    /// Begins a pickle.
    pub fn new() -> Self {
        Pickler { bytes: vec![0x80, 2] }
    }

    /// Ends it.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'.');
        self.bytes
    }

    /// A function or class by name; nothing that it names is run here.
    pub fn global(&mut self, module: &str, name: &str) {
        self.bytes.push(b'c');
        self.bytes.extend(module.as_bytes());
        self.bytes.push(b'\n');
        self.bytes.extend(name.as_bytes());
        self.bytes.push(b'\n');
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    /// A whole number.
    pub fn int(&mut self, n: i64) {
        if let Ok(n) = u8::try_from(n) {
            self.bytes.extend([b'K', n]);
        } else if let Ok(n) = u16::try_from(n) {
            self.bytes.push(b'M');
            self.bytes.extend(n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.bytes.push(b'J');
            self.bytes.extend(n.to_le_bytes());
        } else {
            // Eight bytes of two's complement behind their count.
            self.bytes.extend([0x8a, 8]);
            self.bytes.extend(n.to_le_bytes());
        }
    }

    /// `False`.
    pub fn no(&mut self) {
        self.bytes.push(0x89);
    }

    /// A tuple of what `items` pushes.
    pub fn tuple(&mut self, items: impl FnOnce(&mut Self)) {
        self.bytes.push(b'(');
        items(self);
        self.bytes.push(b't');
    }

    /// Calls what `callable` pushes with the tuple of what `arguments` pushes.
    pub fn call(&mut self, callable: impl FnOnce(&mut Self), arguments: impl FnOnce(&mut Self)) {
        callable(self);
        self.tuple(arguments);
        self.bytes.push(b'R');
    }

    /// Turns the tuple that was pushed last into a persistent reference.
    pub fn persistent(&mut self) {
        self.bytes.push(b'Q');
    }

    /// Sets items of the mapping that was pushed last: keys and values in turn.
    pub fn set_items(&mut self, items: impl FnOnce(&mut Self)) {
        self.bytes.push(b'(');
        items(self);
        self.bytes.push(b'u');
    }
}
