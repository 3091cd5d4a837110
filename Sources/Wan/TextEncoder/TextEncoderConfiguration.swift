/// The sizes of a umT5 encoder.
public struct TextEncoderConfiguration: Sendable, Hashable {
    public var vocabularySize: Int
    public var dim: Int
    public var headDim: Int
    public var headCount: Int
    public var layerCount: Int
    public var feedForwardDim: Int
    public var relativePositionBuckets: Int
    public var relativePositionDistance: Int
    public var epsilon: Float

    public init(
        vocabularySize: Int, dim: Int, headDim: Int, headCount: Int, layerCount: Int, feedForwardDim: Int,
        relativePositionBuckets: Int = 32, relativePositionDistance: Int = 128, epsilon: Float = 1e-6
    ) {
        self.vocabularySize = vocabularySize
        self.dim = dim
        self.headDim = headDim
        self.headCount = headCount
        self.layerCount = layerCount
        self.feedForwardDim = feedForwardDim
        self.relativePositionBuckets = relativePositionBuckets
        self.relativePositionDistance = relativePositionDistance
        self.epsilon = epsilon
    }

    var attentionDim: Int { headDim * headCount }
}
