/// The first latent frame of a film whose picture is known.
///
/// A network that animates a picture paints the first frame anew from it. Where that frame is held to the encoded
/// picture at every step, the film begins with the picture as the codec keeps it, and the frames after it follow that.
public struct GivenFrame: Sendable {
    /// `[16, H/8, W/8]`.
    public let latents: [Float]
    /// Where each of them lies in `[16, F, H/8, W/8]`.
    public let positions: [Int]

    /// - Parameter latents: `[16, F, H/8, W/8]`, of which the first frame is kept.
    public init(firstOf latents: some RandomAccessCollection<Float>, geometry: LatentGeometry) {
        precondition(latents.count == geometry.latentCount, "latents do not fit \(geometry)")
        let (area, channel) = (geometry.latentArea, geometry.latentArea * geometry.latentFrames)
        positions = (0..<LatentGeometry.channels).flatMap { $0 * channel..<$0 * channel + area }
        self.latents = positions.map { latents[latents.index(latents.startIndex, offsetBy: $0)] }
    }
}
