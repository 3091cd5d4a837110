import Generation
import Media

/// Draws a visible label into the frames of the first two seconds and passes all of them on.
final class LabellingSink: FrameSink {
    private let inner: any FrameSink
    private let label: VisibleLabel?
    private let frameByteCount: Int
    private var unlabelled: Int

    /// - Parameters:
    ///   - text: empty for no label.
    ///   - request: what the frames are made of.
    /// - Throws: `MediaError` where the label cannot be drawn into frames of this size.
    convenience init(_ inner: any FrameSink, text: String, request: GenerationRequest) throws {
        try self.init(
            inner, text: text, width: request.size.width, height: request.size.height,
            framesPerSecond: request.framesPerSecond)
    }

    init(_ inner: any FrameSink, text: String, width: Int, height: Int, framesPerSecond: Int) throws {
        self.inner = inner
        label = text.isEmpty ? nil : try VisibleLabel(text, width: width, height: height)
        frameByteCount = width * height * 3
        unlabelled = VisibleLabel.frameCount(framesPerSecond: Double(framesPerSecond))
    }

    func append(_ frames: [UInt8], count: Int) throws {
        guard let label, unlabelled > 0 else { return try inner.append(frames, count: count) }
        var labelled = frames
        for frame in 0..<min(count, unlabelled) { label.draw(into: &labelled, at: frame * frameByteCount) }
        unlabelled -= min(count, unlabelled)
        try inner.append(labelled, count: count)
    }

    func finish() throws { try inner.finish() }
}
