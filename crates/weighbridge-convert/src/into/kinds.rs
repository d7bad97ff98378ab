//! Kinds of layers as far as their weights differ, and the orders in which frameworks keep dimensions.

/// A kind of layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Kind {
    /// A convolution.
    Conv,
    /// A transposed convolution.
    Transposed,
    /// A convolution of each channel by itself, where the framework has it as a kind of its own.
    Depthwise,
    /// A matrix.
    Linear,
    /// A table of rows.
    Embedding,
    /// A normalization, with or without running statistics.
    Norm,
    /// LSTM, GRU, RNN: gates in an order of the framework's own.
    Recurrent,
    /// Nothing tells.
    #[default]
    Unknown,
}

impl Kind {
    /// This kind, or another where nothing is known of it.
    pub(super) fn or(self, other: Kind) -> Kind {
        if self == Kind::Unknown { other } else { self }
    }

    /// By a class of torch or Keras, without its module.
    pub(super) fn of_class(class: &str) -> Kind {
        match class {
            "Linear" | "Dense" | "NonDynamicallyQuantizableLinear" => Kind::Linear,
            "Conv1d" | "Conv2d" | "Conv3d" | "Conv1D" | "Conv2D" | "Conv3D" => Kind::Conv,
            _ if class.starts_with("ConvTranspose") => Kind::Transposed,
            "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" => Kind::Transposed,
            "DepthwiseConv1D" | "DepthwiseConv2D" => Kind::Depthwise,
            _ if class.starts_with("Embedding") => Kind::Embedding,
            _ if class.contains("Norm") => Kind::Norm,
            "LSTM" | "GRU" | "RNN" | "SimpleRNN" | "Bidirectional" | "LSTMCell" | "GRUCell" | "RNNCell" => {
                Kind::Recurrent
            }
            _ => Kind::Unknown,
        }
    }
}

/// In which order dimensions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// torch, ONNX, Caffe: `[out, in, spatial…]`, transposed `[in, out, spatial…]`, `[out, in]`.
    Torch,
    /// Keras, Flax: `[spatial…, in, out]`, transposed `[spatial…, out, in]`, `[in, out]`; MatMul: `[in, out]`.
    Keras,
    /// TensorFlow Lite: `[out, spatial…, in]`.
    Lite,
}

/// By what an order is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Witness {
    /// By what a framework usually does with such a name.
    Convention,
    /// By a graph, a class, a layer's type.
    Told,
}

impl Order {
    /// The dimensions of this order that become torch's, of a weight of `rank` dimensions.
    pub(super) fn to_torch(self, kind: Kind, rank: usize) -> Vec<usize> {
        let spatial = |from: usize| from..from + rank.saturating_sub(2);
        let ahead = |a: usize, b: usize, from: usize| [a, b].into_iter().chain(spatial(from)).collect();
        match (self, kind) {
            (Order::Torch, _) => (0..rank).collect(),
            _ if rank < 2 => (0..rank).collect(),
            // Channels, then what each is multiplied into.
            (Order::Keras, Kind::Depthwise) => ahead(rank - 2, rank - 1, 0),
            (Order::Keras, _) => ahead(rank - 1, rank - 2, 0),
            (Order::Lite, _) if rank == 2 => vec![0, 1],
            (Order::Lite, Kind::Transposed | Kind::Depthwise) => ahead(rank - 1, 0, 1),
            (Order::Lite, _) => ahead(0, rank - 1, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_lead_to_torch() {
        assert_eq!(Order::Keras.to_torch(Kind::Conv, 4), [3, 2, 0, 1]);
        assert_eq!(Order::Keras.to_torch(Kind::Transposed, 4), [3, 2, 0, 1]);
        assert_eq!(Order::Keras.to_torch(Kind::Conv, 3), [2, 1, 0]);
        assert_eq!(Order::Keras.to_torch(Kind::Depthwise, 4), [2, 3, 0, 1]);
        assert_eq!(Order::Keras.to_torch(Kind::Linear, 2), [1, 0]);
        assert_eq!(Order::Lite.to_torch(Kind::Conv, 4), [0, 3, 1, 2]);
        assert_eq!(Order::Lite.to_torch(Kind::Depthwise, 4), [3, 0, 1, 2]);
        assert_eq!(Order::Lite.to_torch(Kind::Linear, 2), [0, 1]);
    }
}
