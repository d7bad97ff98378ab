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
            self.long(&n.to_le_bytes());
        }
    }

    /// A whole number of any width, from the bytes of its two's complement, the lowest first.
    pub fn long(&mut self, bytes: &[u8]) {
        self.bytes.extend([0x8a, bytes.len() as u8]);
        self.bytes.extend(bytes);
    }

    /// A floating-point number.
    pub fn float(&mut self, x: f64) {
        self.bytes.push(b'G');
        self.bytes.extend(x.to_be_bytes());
    }

    /// `None`.
    pub fn none(&mut self) {
        self.bytes.push(b'N');
    }

    /// `True`.
    pub fn yes(&mut self) {
        self.bytes.push(0x88);
    }

    /// `False`.
    pub fn no(&mut self) {
        self.bytes.push(0x89);
    }

    /// A list of what `items` pushes.
    pub fn list(&mut self, items: impl FnOnce(&mut Self)) {
        self.bytes.extend(b"](");
        items(self);
        self.bytes.push(b'e');
    }

    /// A dict of the keys and values that `items` pushes in turn.
    pub fn dict(&mut self, items: impl FnOnce(&mut Self)) {
        self.bytes.push(b'}');
        self.set_items(items);
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
