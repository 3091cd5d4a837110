import Foundation
import Generation
import Media

/// Passes frames on and makes the contact sheet of them beside: each tile when its frame comes, the picture while the end of
/// the film is still being encoded.
final class SheetSink: FrameSink, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `tiles` and `sheet` belong to `queue`; the rest to the caller of `append`.
    private let inner: any FrameSink
    private let indexes: [Int]
    private let width: Int
    private let height: Int
    private var frame = 0
    private let queue = DispatchQueue(label: "contact sheet")
    private var tiles: [RGBImage] = []
    private var sheet: Result<[UInt8], any Error>?

    /// JPEG quality of a sheet.
    static let quality = 85

    init(_ inner: any FrameSink, width: Int, height: Int, frameCount: Int) {
        (self.inner, self.width, self.height) = (inner, width, height)
        indexes = ContactSheet.indexes(frameCount: frameCount)
    }

    func append(_ frames: [UInt8], count: Int) throws {
        let size = width * height * 3
        for index in indexes where (frame..<frame + count).contains(index) {
            let start = (index - frame) * size
            let image = RGBImage(width: width, height: height, pixels: Array(frames[start..<start + size]))
            queue.async { [self] in
                tiles.append(ContactSheet.tile(image))
                guard tiles.count == indexes.count else { return }
                sheet = Result { try PosterWriter.encode(ContactSheet.arrange(tiles), quality: Self.quality) }
                tiles = []
            }
        }
        frame += count
        try inner.append(frames, count: count)
    }

    func finish() throws { try inner.finish() }

    /// The finished sheet as JPEG; nil before all frames have come.
    /// - Throws: `MediaError`.
    func jpeg() throws -> [UInt8]? { try queue.sync { try sheet?.get() } }
}
