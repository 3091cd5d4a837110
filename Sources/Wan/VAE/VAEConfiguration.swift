import Sampling

/// The sizes of a Wan2.1 VAE and the statistics of its latents.
public struct VAEConfiguration: Sendable, Hashable {
    /// Channels of the encoder and of the decoder at full resolution.
    public var encoderDim: Int
    public var decoderDim: Int
    public var latentChannels: Int
    /// Channels of each level, in units of those, from full resolution down.
    public var multipliers: [Int]
    public var residualBlocks: Int
    /// Whether the step from each level to the next halves time as well.
    public var halvesTime: [Bool]
    /// One mean and one standard deviation a latent channel.
    public var latentMeans: [Float]
    public var latentDeviations: [Float]

    public init(
        encoderDim: Int = 96, decoderDim: Int = 96, latentChannels: Int = 16, multipliers: [Int] = [1, 2, 4, 4],
        residualBlocks: Int = 2,
        halvesTime: [Bool] = [false, true, true], latentMeans: [Float] = Self.wanMeans,
        latentDeviations: [Float] = Self.wanDeviations
    ) {
        precondition(multipliers.count == halvesTime.count + 1, "one step between two levels")
        precondition(latentMeans.count == latentChannels && latentDeviations.count == latentChannels)
        self.encoderDim = encoderDim
        self.decoderDim = decoderDim
        self.latentChannels = latentChannels
        self.multipliers = multipliers
        self.residualBlocks = residualBlocks
        self.halvesTime = halvesTime
        self.latentMeans = latentMeans
        self.latentDeviations = latentDeviations
    }

    /// Source: Wan2.1 wan/modules/vae.py `WanVAE`.
    public static let wanMeans: [Float] = [
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
        -0.9497, 0.2503, -0.2921,
    ]
    public static let wanDeviations: [Float] = [
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
        2.8251, 1.916,
    ]

    /// Channels of the levels from full resolution down, with the first once more in front.
    var encoderDims: [Int] { ([1] + multipliers).map { $0 * encoderDim } }
    /// Channels of the levels from the latents' resolution up, with the first once more in front.
    public var decoderDims: [Int] {
        ([multipliers[multipliers.count - 1]] + multipliers.reversed()).map { $0 * decoderDim }
    }
    var levelCount: Int { multipliers.count }

    /// Frames of video a latent frame after the first stands for.
    public var framesPerLatent: Int { halvesTime.reduce(1) { $1 ? $0 * 2 : $0 } }
}
