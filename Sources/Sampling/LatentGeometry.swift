/// The shape of a video's latents and tokens.
public struct LatentGeometry: Sendable, Hashable {
    /// Pixels a latent pixel spans in each direction.
    public static let spatialStride = 8
    /// Frames a latent frame spans, but for the first, which spans one.
    public static let temporalStride = 4
    public static let channels = 16

    public let frameCount: Int
    public let size: FrameSize

    /// - Throws: `SamplingError` "frames" unless `frameCount` is 4n + 1, "size" unless both sides are multiples of 16.
    public init(frameCount: Int, size: FrameSize) throws(SamplingError) {
        guard frameCount >= 1, frameCount % Self.temporalStride == 1, frameCount <= 1 << 20 else {
            let below = max(frameCount - 1, 0) / 4 * 4 + 1
            throw SamplingError(
                code: "frames", message: "\(frameCount) frames asked; the model makes 4n + 1",
                hint: "use \(below) or \(below + 4)")
        }
        guard size.width >= 16, size.height >= 16, size.width % 16 == 0, size.height % 16 == 0, size.width <= 1 << 16,
            size.height <= 1 << 16
        else {
            throw SamplingError(
                code: "size", message: "size \(size) asked; width and height must be multiples of 16",
                hint: "use for example \(max(16, size.width / 16 * 16))x\(max(16, size.height / 16 * 16))")
        }
        self.frameCount = frameCount
        self.size = size
    }

    /// From a latent shape.
    public init(latentFrames: Int, latentHeight: Int, latentWidth: Int) {
        frameCount = (latentFrames - 1) * Self.temporalStride + 1
        size = FrameSize(width: latentWidth * Self.spatialStride, height: latentHeight * Self.spatialStride)
    }

    public var latentFrames: Int { (frameCount - 1) / Self.temporalStride + 1 }
    public var latentHeight: Int { size.height / Self.spatialStride }
    public var latentWidth: Int { size.width / Self.spatialStride }
    /// Pixels of one latent frame.
    public var latentArea: Int { latentHeight * latentWidth }
    /// Values of the latents `[16, F, H, W]`.
    public var latentCount: Int { Self.channels * latentFrames * latentArea }
    /// Transformer tokens: one for each 2x2 latent pixels.
    public var tokenCount: Int { latentFrames * (latentHeight / 2) * (latentWidth / 2) }
}
