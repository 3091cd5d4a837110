/// Width and height of frames in pixels.
public struct FrameSize: Sendable, Hashable, Codable, CustomStringConvertible {
    public var width: Int
    public var height: Int

    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    public var description: String { "\(width)x\(height)" }
    public var area: Int { width * height }
}

/// Named resolutions and their sizes by aspect ratio.
public struct ResolutionTable: Sendable, Hashable {
    /// "480p" -> "16:9" -> 832x480.
    public let sizes: [String: [String: FrameSize]]

    public init(_ sizes: [String: [String: FrameSize]]) { self.sizes = sizes }

    /// The sizes the full-size Wan models were trained for.
    /// Source: TurboDiffusion rcm/datasets/utils.py `VIDEO_RES_SIZE_INFO`.
    public static let wan = ResolutionTable([
        "480p": [
            "1:1": FrameSize(width: 640, height: 640), "4:3": FrameSize(width: 640, height: 480),
            "3:4": FrameSize(width: 480, height: 640), "16:9": FrameSize(width: 832, height: 480),
            "9:16": FrameSize(width: 480, height: 832),
        ],
        "720p": [
            "1:1": FrameSize(width: 960, height: 960), "4:3": FrameSize(width: 960, height: 720),
            "3:4": FrameSize(width: 720, height: 960), "16:9": FrameSize(width: 1280, height: 720),
            "9:16": FrameSize(width: 720, height: 1280),
        ],
    ])

    /// - Throws: `SamplingError` "resolution" or "aspect_ratio", naming what there is.
    public func size(resolution: String, aspectRatio: String) throws(SamplingError) -> FrameSize {
        guard let row = sizes[resolution] else {
            throw SamplingError(
                code: "resolution", message: "resolution \(resolution) is not one of this model's",
                hint: "use one of \(sizes.keys.sorted().joined(separator: ", "))")
        }
        guard let size = row[aspectRatio] else {
            throw SamplingError(
                code: "aspect_ratio", message: "aspect ratio \(aspectRatio) is not known at \(resolution)",
                hint: "use one of \(row.keys.sorted().joined(separator: ", "))")
        }
        return size
    }
}

/// The size with about `base`'s area and the image's proportions, in multiples of 16; the image is stretched to it.
///
/// Each side is `round(ideal / 16) * 16`, halves to even, and never less than 16.
/// Source: TurboDiffusion inference/wan2.2_i2v_infer.py `--adaptive_resolution`.
public func adaptiveSize(image: FrameSize, base: FrameSize) -> FrameSize {
    precondition(image.width > 0 && image.height > 0, "an image has an area")
    let ratio = Double(image.height) / Double(image.width)
    func side(_ ideal: Double) -> Int { max(16, Int((ideal / 16).rounded(.toNearestOrEven)) * 16) }
    let area = Double(base.area)
    return FrameSize(width: side((area / ratio).squareRoot()), height: side((area * ratio).squareRoot()))
}
