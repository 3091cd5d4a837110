import Generation
import Media
import Testing

@testable import dropreel

@Suite struct SheetSinkTests {
    private final class Film: FrameSink {
        var bytes: [UInt8] = []
        var isFinished = false

        func append(_ frames: [UInt8], count: Int) throws { bytes += frames }
        func finish() throws { isFinished = true }
    }

    /// However the frames come, the sheet is that of the nine frames, and the film gets every byte.
    @Test(arguments: [[1, 4, 4, 4, 4, 4, 4, 4, 4], [33], [7, 26], [Int](repeating: 1, count: 33)])
    func theSheetIsMadeOfTheFramesThatPass(_ chunks: [Int]) throws {
        let (width, height) = (16, 12)
        let frames = (0..<33).map { n in (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 * 7 + n * 31) } }
        let film = Film()
        let sink = SheetSink(film, width: width, height: height, frameCount: 33)
        var start = 0
        for count in chunks {
            #expect(try sink.jpeg() == nil)
            try sink.append(frames[start..<start + count].flatMap { $0 }, count: count)
            start += count
        }
        try sink.finish()
        #expect(film.isFinished && film.bytes == frames.flatMap { $0 })
        let shown = ContactSheet.indexes(frameCount: 33).map {
            RGBImage(width: width, height: height, pixels: frames[$0])
        }
        #expect(try sink.jpeg() == PosterWriter.encode(ContactSheet.compose(shown), quality: SheetSink.quality))
    }
}
