import Sampling

/// What an image-to-video network sees beside the noise, `[20, F, H/8, W/8]`: four mask channels, one in the first
/// latent frame (the given one) and zero after it, then the sixteen channels of the encoded picture and grey frames.
///
/// Source: TurboDiffusion inference/wan2.2_i2v_infer.py.
public func imageCondition(latents: [Float], geometry: LatentGeometry) -> [Float] {
    precondition(latents.count == geometry.latentCount, "latents do not fit \(geometry)")
    let (frame, maskChannels) = (geometry.latentArea, 4)
    let given = [Float](repeating: 1, count: frame)
    let rest = [Float](repeating: 0, count: (geometry.latentFrames - 1) * frame)
    var condition: [Float] = []
    condition.reserveCapacity((maskChannels + LatentGeometry.channels) * geometry.latentFrames * frame)
    for _ in 0..<maskChannels {
        condition += given
        condition += rest
    }
    return condition + latents
}

/// The encoded picture within what `imageCondition` makes, to hold the film's first latent frame to.
public func pictureFrame(condition: [Float], geometry: LatentGeometry) -> GivenFrame {
    GivenFrame(firstOf: condition.suffix(geometry.latentCount), geometry: geometry)
}
