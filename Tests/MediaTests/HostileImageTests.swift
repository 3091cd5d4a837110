import Glibc
import TestSupport
import Testing

@testable import Media

@Suite("Hostile and broken pictures")
struct HostileImageTests {
    static let inputs = GoldenImage.all.map(\.file)
    static let jpegs = inputs.filter { $0.hasSuffix(".jpg") }
    static let pngs = inputs.filter { $0.hasSuffix(".png") }

    private func code(_ bytes: [UInt8], _ limits: ImageLimits = ImageLimits()) -> MediaError.Code? {
        mediaError { _ = try ImageDecoder.decode(bytes, limits: limits) }?.code
    }

    @Test(arguments: jpegs)
    func aTruncatedJPEGIsIncompleteWhereverItIsCut(_ file: String) throws {
        let whole = try GoldenImage.bytes(file)
        for count in 0..<whole.count {
            let found = code(Array(whole.prefix(count)))
            #expect(found == .incomplete, "cut at \(count)")
        }
        #expect(code(whole) == nil)
    }

    @Test(arguments: pngs)
    func aTruncatedPNGIsIncompleteWhereverItIsCut(_ file: String) throws {
        let whole = try GoldenImage.bytes(file)
        for count in stride(from: 0, to: whole.count, by: max(1, whole.count / 700)) {
            #expect(code(Array(whole.prefix(count))) == .incomplete, "cut at \(count)")
        }
        for count in (whole.count - 30)..<whole.count {
            #expect(code(Array(whole.prefix(count))) == .incomplete, "cut at \(count)")
        }
    }

    /// A copy whose size was set first and whose end never came.
    @Test(arguments: inputs)
    func aTailOfZerosIsIncomplete(_ file: String) throws {
        let whole = try GoldenImage.bytes(file)
        for share in 0..<16 {
            let count = min(whole.count * share / 16, whole.count - 513)
            guard count >= 0 else { continue }
            let cut = Array(whole.prefix(count)) + [UInt8](repeating: 0, count: whole.count - count)
            #expect(code(cut) == .incomplete, "zeros from \(count)")
        }
    }

    /// A block in the middle that was never written.
    @Test func aHoleIsIncomplete() throws {
        var whole = try GoldenImage.bytes("inputs/downscale.png")
        whole.replaceSubrange(8_192..<12_288, with: repeatElement(0, count: 4_096))
        #expect(code(whole) == .incomplete)
    }

    @Test func aFlippedBitInAPNGIsCorrupt() throws {
        var whole = try GoldenImage.bytes("inputs/rgb.png")
        whole[whole.count / 2] ^= 4
        #expect(code(whole) == .corrupt)
    }

    @Test func whatIsNoPictureIsNamed() {
        let cases: [([UInt8], String)] = [
            (Array("once upon a time\r\n".utf8), "text"), ([0xFF, 0xFE, 0x61, 0x00], "text"),
            (Array("GIF89a\u{1}".utf8), "a GIF picture"), (Array("RIFF1234WEBPVP8 ".utf8), "a WebP picture"),
            ([0, 0, 0, 24] + Array("ftypheic".utf8), "a HEIC picture"),
            ([0, 0, 0, 24] + Array("ftypisom".utf8), "a film"),
            (Array("%PDF-1.7".utf8), "a PDF document"),
        ]
        for (bytes, name) in cases {
            let error = mediaError { _ = try ImageProbe.probe(bytes) }
            #expect(error?.code == .notAnImage)
            #expect(error?.message == "not a JPEG or PNG picture (it looks like \(name))")
        }
        let noise = mediaError { _ = try ImageProbe.probe([3, 1, 4, 1, 5, 9]) }
        #expect(noise?.message == "not a JPEG or PNG picture")
    }

    /// A PNG of one megabyte that claims 60,000 x 60,000 pixels, in a process of its own: memory and time are bounded.
    @Test func aBombIsRefusedAtOnce() async {
        await #expect(processExitsWith: .success) {
            var png = PNGBuilder(width: 60_000, height: 60_000, depth: 8, colorType: 6)
            png.chunk("IDAT", [UInt8](repeating: 0x55, count: 1 << 20))
            let folder = TemporaryFolder()
            let path = folder.file("bomb.png")
            try PictureFile.write(png.bytes, to: path)
            let before = peakKiB()
            let clock = ContinuousClock.now
            let probed = mediaError { _ = try ImageProbe.probe(path: path) }
            let decoded = mediaError { _ = try ImageDecoder.decode(path: path) }
            try #require(probed?.code == .tooLarge && decoded?.code == .tooLarge)
            try #require(ContinuousClock.now - clock < .seconds(1))
            try #require(peakKiB() - before < 64 * 1_024)
            withExtendedLifetime(folder) {}
        }
    }

    @Test func limitsAreKept() throws {
        let bytes = try GoldenImage.bytes("inputs/baseline.jpg")
        var limits = ImageLimits()
        limits.byteCount = bytes.count - 1
        #expect(code(bytes, limits) == .tooLarge)
        limits.byteCount = bytes.count
        #expect(code(bytes, limits) == nil)
        limits.side = 60
        #expect(code(bytes, limits) == .tooLarge)
        limits.side = 61
        limits.pixelCount = 61 * 47 - 1
        #expect(code(bytes, limits) == .tooLarge)
        limits.pixelCount = 61 * 47
        #expect(code(bytes, limits) == nil)
    }

    @Test func aHugeJPEGIsRefusedByItsHeader() throws {
        var bytes = try GoldenImage.bytes("inputs/baseline.jpg")
        let frame = try #require(bytes.indices.dropLast(9).first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC0 })
        bytes.replaceSubrange((frame + 5)..<(frame + 9), with: [0xFF, 0xDC, 0xFF, 0xDC])
        #expect(code(bytes) == .tooLarge)
        bytes.replaceSubrange((frame + 5)..<(frame + 7), with: [0, 0])
        #expect(code(bytes) == .unsupported)
    }

    /// The last scan repeated: each is a pass over the whole picture.
    @Test func scansWithoutEndAreRefused() throws {
        let bytes = try GoldenImage.bytes("inputs/progressive.jpg")
        let last = try #require(bytes.indices.dropLast(2).last { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA })
        let scan = bytes[last..<(bytes.count - 2)]
        let many = bytes[..<last] + repeatElement(scan, count: 1_000).joined() + [0xFF, 0xD9]
        #expect(code(Array(many)) == .tooLarge)
        var limits = ImageLimits()
        limits.scanCount = 3
        #expect(code(bytes, limits) == .tooLarge)
    }

    @Test func theDecoderKeepsToItsMemory() throws {
        var limits = ImageLimits()
        limits.decoderByteCount = 1
        var bytes = try GoldenImage.bytes("inputs/progressive.jpg")
        let frame = try #require(bytes.indices.dropLast(9).first { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xC2 })
        bytes.replaceSubrange((frame + 5)..<(frame + 7), with: [0x10, 0])
        #expect(code(bytes, limits) == .tooLarge)
        #expect(code(bytes) == .incomplete)
    }

    @Test func aFolderOrAPipeIsNotRead() throws {
        let folder = TemporaryFolder()
        #expect(mediaError { _ = try ImageProbe.probe(path: folder.path) }?.code == .unsupported)
        let pipe = folder.file("pipe.png")
        try #require(mkfifo(pipe, 0o600) == 0)
        #expect(mediaError { _ = try ImageDecoder.decode(path: pipe) }?.code == .unsupported)
        #expect(mediaError { _ = try ImageDecoder.decode(path: folder.file("none.png")) }?.errno == ENOENT)
    }

    /// Whatever the bytes, the answer is a picture of the probed size or a `MediaError`.
    @Test func mutatedPicturesNeverCrash() throws {
        let seeds = try Self.inputs.filter { $0 != "inputs/downscale.png" }.map(GoldenImage.bytes)
        var limits = ImageLimits()
        limits.pixelCount = 1_000_000
        var random = SplitMix(20_251_224)
        var pictures = 0
        var errors = 0
        for round in 0..<15_000 {
            let bytes = random.mutated(
                seeds[round % seeds.count], other: seeds[Int(random.next() % UInt64(seeds.count))])
            do {
                let image = try ImageDecoder.decode(bytes, limits: limits)
                let info = try ImageProbe.probe(bytes, limits: limits)
                #expect(image.width == info.displayWidth && image.height == info.displayHeight)
                pictures += 1
            } catch is MediaError {
                errors += 1
            }
        }
        #expect(pictures + errors == 15_000)
        #expect(pictures > 100 && errors > 5_000)
    }
}
