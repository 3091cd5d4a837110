import Testing

@testable import Media

@Suite("Posters and stills")
struct PictureWriterTests {
    private let image = RGBImage(width: 96, height: 64, pixels: Film.frame(3, width: 96, height: 64))

    @Test func aStillIsTheSameAfterReadingBack() throws {
        let folder = TemporaryFolder()
        try PNGWriter.write(image, to: folder.file("still.png"))
        #expect(try ImageDecoder.decode(path: folder.file("still.png")) == image)
    }

    @Test func aPosterIsNearlyTheSame() throws {
        let folder = TemporaryFolder()
        try PosterWriter.write(image, to: folder.file("poster.jpg"))
        let back = try ImageDecoder.decode(path: folder.file("poster.jpg"))
        #expect(Film.decibels(back.pixels, image.pixels) > 36)
        #expect(try PosterWriter.encode(image, quality: 30).count < PosterWriter.encode(image).count)
        #expect(try PosterWriter.encode(image) == PosterWriter.encode(image))
    }

    @Test func aPosterThatCannotBeIsAnError() {
        let wide = RGBImage(width: 70_000, height: 1, pixels: [UInt8](repeating: 0, count: 210_000))
        #expect(mediaError { _ = try PosterWriter.encode(wide) }?.code == .unsupported)
    }
}
