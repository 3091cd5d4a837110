import Tensors

extension TransformerLayout {
    /// The tensors of an unquantised transformer of some size, for writing one (random weights for measurements).
    public static func entries(
        dim: Int, inputChannels: Int, feedForwardDim: Int, layerCount: Int, textDim: Int, sparseLinear: Bool,
        dtype: DType
    ) -> [SafetensorsWriter.Entry] {
        expected(
            dim: dim, inputs: inputChannels, outputs: 16, feedForward: feedForwardDim, layers: layerCount,
            text: textDim,
            frequency: 256, sparseLinear: sparseLinear
        ).map { $0.entry(dtype) }
    }
}

extension VAELayout {
    /// The tensors of a VAE of some base width, for writing one.
    public static func entries(base: Int, dtype: DType) -> [SafetensorsWriter.Entry] {
        expected(encoderDim: base, decoderDim: base, latentChannels: 16).map { $0.entry(dtype) }
    }
}

extension TextEncoderLayout {
    /// The tensors of umT5-XXL's encoder, for writing one.
    public static func entries(dtype: DType) -> [SafetensorsWriter.Entry] {
        let layout = TextEncoderLayout(
            vocabularySize: 256_384, dim: 4096, headCount: 64, headDim: 64, feedForwardDim: 10_240, layerCount: 24,
            bucketCount: 32)
        return layout.expected(inner: layout.headCount * layout.headDim).map { $0.entry(dtype) }
    }
}

extension ExpectedTensor {
    /// The tensor as an unquantised file holds it.
    fileprivate func entry(_ dtype: DType) -> SafetensorsWriter.Entry {
        SafetensorsWriter.Entry(name: kind == .linear ? name + ".weight" : name, shape: shape, dtype: dtype)
    }
}
