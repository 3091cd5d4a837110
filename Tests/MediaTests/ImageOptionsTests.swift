import Testing

@testable import Media

@Suite("Alpha, depth and orientation")
struct ImageOptionsTests {
    /// A 2 x 1 picture of one kind: `first` is half transparent, `second` opaque.
    struct Kind: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let depth: UInt8
        let colorType: UInt8
        var chunks: [(String, [UInt8])] = []
        let row: [UInt8]
        let dropped: [UInt8]
        let overWhite: [UInt8]
    }

    static let kinds = [
        Kind(
            testDescription: "RGBA", depth: 8, colorType: 6, row: [200, 100, 0, 64, 10, 20, 30, 255],
            dropped: [200, 100, 0, 10, 20, 30], overWhite: [241, 216, 191, 10, 20, 30]),
        Kind(
            testDescription: "RGBA16", depth: 16, colorType: 6,
            row: [200, 9, 100, 9, 0, 9, 64, 9, 10, 9, 20, 9, 30, 9, 255, 255],
            dropped: [200, 100, 0, 10, 20, 30], overWhite: [241, 216, 191, 10, 20, 30]),
        Kind(
            testDescription: "grey and alpha", depth: 8, colorType: 4, row: [100, 0, 7, 255],
            dropped: [100, 100, 100, 7, 7, 7], overWhite: [255, 255, 255, 7, 7, 7]),
        Kind(
            testDescription: "grey with one transparent value", depth: 8, colorType: 0, chunks: [("tRNS", [0, 100])],
            row: [100, 7], dropped: [100, 100, 100, 7, 7, 7], overWhite: [255, 255, 255, 7, 7, 7]),
        Kind(
            testDescription: "16-bit grey: all 16 bits decide what is transparent", depth: 16, colorType: 0,
            chunks: [("tRNS", [100, 1])], row: [100, 1, 100, 2], dropped: [100, 100, 100, 100, 100, 100],
            overWhite: [255, 255, 255, 100, 100, 100]),
        Kind(
            testDescription: "RGB with one transparent colour", depth: 8, colorType: 2,
            chunks: [("tRNS", [0, 1, 0, 2, 0, 3])], row: [1, 2, 3, 3, 2, 1], dropped: [1, 2, 3, 3, 2, 1],
            overWhite: [255, 255, 255, 3, 2, 1]),
        Kind(
            testDescription: "palette with transparency", depth: 8, colorType: 3,
            chunks: [("PLTE", [200, 100, 0, 10, 20, 30]), ("tRNS", [64])], row: [0, 1],
            dropped: [200, 100, 0, 10, 20, 30], overWhite: [241, 216, 191, 10, 20, 30]),
        Kind(
            testDescription: "2-bit grey is spread over the range", depth: 2, colorType: 0, row: [0b0110_0000],
            dropped: [85, 85, 85, 170, 170, 170], overWhite: [85, 85, 85, 170, 170, 170]),
    ]

    @Test(arguments: kinds)
    func alpha(_ kind: Kind) throws {
        var png = PNGBuilder(width: 2, height: 1, depth: kind.depth, colorType: kind.colorType)
        for (type, payload) in kind.chunks { png.chunk(type, payload) }
        png.finish(rows: [kind.row])
        var dropping = ImageDecoder.Options()
        dropping.compositeAlpha = false
        #expect(try ImageDecoder.decode(png.bytes, options: dropping).pixels == kind.dropped)
        #expect(try ImageDecoder.decode(png.bytes).pixels == kind.overWhite)
        #expect(try ImageProbe.probe(png.bytes).hasAlpha == (kind.dropped != kind.overWhite))
    }

    /// A 3 x 2 picture `abc / def` as each orientation means it (TIFF 6.0: where row 0 and column 0 are).
    @Test(arguments: [
        (1, 3, "abcdef"), (2, 3, "cbafed"), (3, 3, "fedcba"), (4, 3, "defabc"), (5, 2, "adbecf"), (6, 2, "daebfc"),
        (7, 2, "fcebda"), (8, 2, "cfbead"), (0, 3, "abcdef"), (9, 3, "abcdef"),
    ])
    func orientation(_ orientation: Int, _ width: Int, _ order: String) throws {
        for little in [true, false] {
            var png = PNGBuilder(width: 3, height: 2, depth: 8, colorType: 0)
            png.chunk("eXIf", exif(orientation, little: little))
            png.finish(rows: [Array("abc".utf8), Array("def".utf8)])
            let image = try ImageDecoder.decode(png.bytes)
            #expect(image.width == width && image.height == 6 / width)
            #expect(stride(from: 0, to: 18, by: 3).map { image.pixels[$0] } == Array(order.utf8))
        }
    }

    @Test func orientationOfABrokenBlockIsUpright() {
        let whole = exif(6, little: true)
        for count in 0..<(whole.count - 4) { #expect(ExifOrientation.read(Array(whole.prefix(count))) == 1) }
        var endless = whole
        endless[8] = 0xFF
        endless[9] = 0xFF
        endless[10] = 0x13
        #expect(ExifOrientation.read(endless) == 1)
        var outside = whole
        outside.replaceSubrange(4..<8, with: [0xFF, 0xFF, 0xFF, 0xFF])
        #expect(ExifOrientation.read(outside) == 1)
    }

    private func exif(_ orientation: Int, little: Bool) -> [UInt8] {
        func short(_ value: Int) -> [UInt8] {
            let bytes = [UInt8(value >> 8), UInt8(value & 255)]
            return little ? bytes.reversed() : bytes
        }
        func long(_ value: Int) -> [UInt8] { little ? be32(value).reversed() : be32(value) }
        let entry = short(274) + short(3) + long(1) + short(orientation) + [0, 0]
        return Array((little ? "II" : "MM").utf8) + short(42) + long(8) + short(1) + entry + long(0)
    }
}
