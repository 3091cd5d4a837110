import Checkpoints
import Tensors

extension TransformerConfiguration {
    public init(_ layout: TransformerLayout) {
        self.init(
            inputChannels: layout.inputChannels, outputChannels: layout.outputChannels, dim: layout.dim,
            headCount: layout.headCount, feedForwardDim: layout.feedForwardDim, layerCount: layout.layerCount,
            textDim: layout.textDim, frequencyDim: layout.frequencyDim)
    }
}

extension Transformer {
    /// Puts a recognised checkpoint on a backend.
    public convenience init(
        _ weights: ModelWeights<TransformerLayout>, backend: any Backend, precision: LinearPrecision = .stored,
        blocks place: BlockPlace = .device, onBlock: (Int) throws -> Void = { _ in }
    ) throws {
        try self.init(
            WeightReader(weights.tensors, backend: backend, source: fileName(weights.path)),
            configuration: TransformerConfiguration(weights.layout), precision: precision, blocks: place,
            onBlock: onBlock)
    }
}

extension VAEConfiguration {
    public init(_ layout: VAELayout) {
        self.init(
            encoderDim: layout.encoderDim, decoderDim: layout.decoderDim, latentChannels: layout.latentChannels)
    }
}

extension VAE {
    /// Puts a recognised checkpoint on a backend.
    public convenience init(_ weights: ModelWeights<VAELayout>, backend: any Backend) throws {
        guard weights.layout.latentChannels == VAEConfiguration.wanMeans.count else {
            throw WanError(
                code: "configuration",
                message: "\(fileName(weights.path)): \(weights.layout.latentChannels) latent channels; "
                    + "statistics are known for \(VAEConfiguration.wanMeans.count)",
                hint: "use the VAE of Wan2.1")
        }
        try self.init(
            WeightReader(weights.tensors, backend: backend, source: fileName(weights.path)),
            configuration: VAEConfiguration(weights.layout))
    }
}

extension TextEncoderConfiguration {
    public init(_ layout: TextEncoderLayout) {
        self.init(
            vocabularySize: layout.vocabularySize, dim: layout.dim, headDim: layout.headDim,
            headCount: layout.headCount, layerCount: layout.layerCount, feedForwardDim: layout.feedForwardDim,
            relativePositionBuckets: layout.bucketCount)
    }
}

extension TextEncoder {
    /// Puts a recognised checkpoint on a backend.
    public convenience init(
        _ weights: ModelWeights<TextEncoderLayout>, backend: any Backend, blocks place: BlockPlace = .device,
        onBlock: (Int) throws -> Void = { _ in }
    ) throws {
        try self.init(
            WeightReader(weights.tensors, backend: backend, source: fileName(weights.path)),
            configuration: TextEncoderConfiguration(weights.layout), blocks: place, onBlock: onBlock)
    }
}

/// The last part of a path: what errors call a file.
private func fileName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
