import Glibc
import Testing

@testable import Media

@Suite("Reference pictures")
struct GoldenImageTests {
    @Test func everyCaseIsThere() {
        #expect(GoldenImage.all.count == 28)
    }

    /// PNG is exact; JPEG within what `cases.json` allows to another decoder.
    @Test(arguments: GoldenImage.all)
    func decodesAsUpstream(_ golden: GoldenImage) throws {
        let image = try ImageDecoder.decode(golden.bytes(), options: .upstream)
        #expect(image.width == golden.width && image.height == golden.height)
        let planes = try #require(try golden.expected("decoded_rgb"))
        let expected = interleaved(planes, width: golden.width, height: golden.height)
        let tolerance = !golden.isJPEG ? 0 : golden.name == "cmyk.jpg" ? 3 : 2
        #expect(largestDifference(image.pixels, expected.pixels) <= tolerance)
    }

    /// From the reference's own decoded picture, so that only the resize is measured.
    @Test(arguments: GoldenImage.all)
    func resizesExactlyAsUpstream(_ golden: GoldenImage) throws {
        let planes = try #require(try golden.expected("decoded_rgb"))
        let decoded = interleaved(planes, width: golden.width, height: golden.height)
        let resized = Resizer.resize(decoded, width: golden.targetWidth, height: golden.targetHeight)
        let wanted = interleaved(
            try #require(try golden.expected("resized_u8")), width: golden.targetWidth, height: golden.targetHeight)
        #expect(resized == wanted)
    }

    @Test(arguments: GoldenImage.all)
    func decodesAndResizesAsUpstream(_ golden: GoldenImage) throws {
        let image = try ImageDecoder.decode(golden.bytes(), options: .upstream)
        let resized = Resizer.resize(image, width: golden.targetWidth, height: golden.targetHeight)
        let wanted = interleaved(
            try #require(try golden.expected("resized_u8")), width: golden.targetWidth, height: golden.targetHeight)
        #expect(largestDifference(resized.pixels, wanted.pixels) <= (golden.isJPEG ? 3 : 1))
    }

    /// Three of the expected files hold the normalised tensor.
    @Test func normalisesAsUpstream() throws {
        var compared = 0
        for golden in GoldenImage.all {
            guard let bytes = try golden.expected("normalized") else { continue }
            compared += 1
            let wanted = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            let planes = try #require(try golden.expected("resized_u8"))
            let image = interleaved(planes, width: golden.targetWidth, height: golden.targetHeight)
            let normalized = image.normalized()
            #expect(normalized == wanted)
        }
        #expect(compared == 3)
    }

    @Test func sixteenBitGrayGivesItsHighByte() throws {
        let golden = try #require(GoldenImage.all.first { $0.name == "gray16.png" })
        let planes = try #require(try golden.expected("decoded_rgb_high_byte"))
        let wanted = interleaved(planes, width: golden.width, height: golden.height)
        #expect(try ImageDecoder.decode(golden.bytes()) == wanted)
    }

    @Test(arguments: [("exif3.jpg", 3), ("exif6.jpg", 6), ("exif8.jpg", 8), ("baseline.jpg", 1), ("rgb.png", 1)])
    func probesOrientation(_ name: String, _ orientation: Int) throws {
        let info = try ImageProbe.probe(GoldenImage.bytes("inputs/" + name))
        #expect(info.orientation == orientation)
        #expect(info.displayWidth == (orientation >= 5 ? info.height : info.width))
        let upright = try ImageDecoder.decode(GoldenImage.bytes("inputs/" + name))
        #expect(upright.width == info.displayWidth && upright.height == info.displayHeight)
    }

    @Test(arguments: GoldenImage.all)
    func probeAgreesWithTheDecoder(_ golden: GoldenImage) throws {
        let info = try ImageProbe.probe(golden.bytes())
        #expect(info.width == golden.width && info.height == golden.height)
        #expect(info.format == (golden.isJPEG ? .jpeg : .png))
        let path = GoldenImage.folder.appending(path: golden.file).path
        #expect(try ImageProbe.probe(path: path) == info)
        let file = try OpenFile(path, flags: O_RDONLY)
        #expect(try ImageProbe.probe(descriptor: file.descriptor) == info)
        #expect(try ImageDecoder.decode(descriptor: file.descriptor) == ImageDecoder.decode(golden.bytes()))
        #expect(info.isProgressive == (golden.name.hasPrefix("interlaced") || golden.name == "progressive.jpg"))
    }

    /// The same ink with the Adobe transform to YCCK; both are lossy, hence the tolerance.
    @Test func ycckLooksAsCMYK() throws {
        let cmyk = try ImageDecoder.decode(GoldenImage.bytes("inputs/cmyk.jpg"))
        let ycck = try ImageDecoder.decode(GoldenImage.bytes("more/ycck.jpg"))
        #expect(largestDifference(cmyk.pixels, ycck.pixels) <= 6)
    }
}
