import Sampling

/// The sizes of a Wan transformer.
public struct TransformerConfiguration: Sendable, Hashable {
    /// Latent channels the network is given: 16, or 36 with an image's mask and latents.
    public var inputChannels: Int
    public var outputChannels: Int
    public var dim: Int
    public var headCount: Int
    public var feedForwardDim: Int
    public var layerCount: Int
    public var textDim: Int
    /// Values of the timestep's sinusoid.
    public var frequencyDim: Int
    /// Rows of text the cross-attention sees, padding included.
    public var textLength: Int
    public var epsilon: Float

    public init(
        inputChannels: Int, outputChannels: Int, dim: Int, headCount: Int, feedForwardDim: Int, layerCount: Int,
        textDim: Int, frequencyDim: Int = 256, textLength: Int = 512, epsilon: Float = 1e-6
    ) {
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.dim = dim
        self.headCount = headCount
        self.feedForwardDim = feedForwardDim
        self.layerCount = layerCount
        self.textDim = textDim
        self.frequencyDim = frequencyDim
        self.textLength = textLength
        self.epsilon = epsilon
    }

    /// Latent pixels of a patch in height and width; one frame deep.
    static let patchSide = 2

    public var headDim: Int { dim / headCount }
    /// Channels beside the noise: 0, or 20 (4 of mask, 16 of image latents).
    public var conditionChannels: Int { inputChannels - LatentGeometry.channels }
    public var takesImage: Bool { conditionChannels > 0 }
    public var patchInputSize: Int { inputChannels * Self.patchSide * Self.patchSide }
    public var patchOutputSize: Int { outputChannels * Self.patchSide * Self.patchSide }
}
