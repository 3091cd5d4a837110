import Foundation
import TestSupport
import Testing

@testable import Media

@Suite("Labels, sheets and marks")
struct MarksTests {
    @Test(arguments: [(256, 144), (640, 368), (1280, 720), (720, 1280), (64, 64)])
    func lettersAreAtLeastFivePercentHigh(width: Int, height: Int) throws {
        let label = try VisibleLabel("AI-generated", width: width, height: height)
        #expect(Double(label.letterHeight) >= 0.05 * Double(min(width, height)))
        var frame = [UInt8](repeating: 200, count: width * height * 3)
        label.draw(into: &frame)
        // Rows that hold white are the letters' rows: count those of the first line's capitals.
        let white = (0..<height).filter { y in
            (0..<width).contains { x in frame[(y * width + x) * 3] == 255 }
        }
        #expect(white.count >= label.letterHeight)
        #expect(Set(frame) == [50, 200, 255])
        // The upper half of the picture is left alone.
        #expect(frame.prefix(width * (height / 2 - height / 4) * 3).allSatisfy { $0 == 200 })
    }

    @Test func theDotsAreThoseOfTheLetters() throws {
        let label = try VisibleLabel("Hi", width: 140, height: 100)
        #expect(label.scale == 1)
        var frames = [UInt8](repeating: 0, count: 2 * 140 * 100 * 3)
        label.draw(into: &frames, at: 140 * 100 * 3)
        #expect(frames.prefix(140 * 100 * 3).allSatisfy { $0 == 0 })
        let second = Array(frames.suffix(140 * 100 * 3))
        let rows = (91..<98).map { y in
            String((2..<13).map { x in second[(y * 140 + x) * 3] == 255 ? "#" : "." })
        }
        #expect(
            rows == [
                "#...#...#..", "#...#......", "#...#..##..", "#####...#..", "#...#...#..", "#...#...#..",
                "#...#..###.",
            ])
    }

    @Test func everyLegalCharacterHasAShapeOfItsOwn() {
        let legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;!?-+/()'&#%*=_@\""
        var seen: Set<[UInt8]> = []
        for character in legal {
            let rows = LabelFont.rows(of: character)
            #expect(rows?.count == 7 && rows?.allSatisfy { $0 < 32 } == true, "\(character)")
            #expect(seen.insert(rows ?? []).inserted, "\(character)")
        }
    }

    @Test func longLabelsBreakAndImpossibleOnesAreErrors() throws {
        let label = try VisibleLabel("made by a model, not by a camera, in 2026", width: 256, height: 144)
        #expect(label.lines.count == 2)
        #expect(label.lines.map { String($0) } == ["made by a model, not", "by a camera, in 2026"])
        #expect(mediaError { _ = try VisibleLabel("猫", width: 256, height: 144) }?.code == .unsupported)
        let long = String(repeating: "word ", count: 200)
        #expect(mediaError { _ = try VisibleLabel(long, width: 64, height: 64) }?.code == .unsupported)
        #expect(VisibleLabel.frameCount(framesPerSecond: 16) == 32)
    }

    @Test func aSheetShowsNineFramesOfTheFilmsShape() throws {
        #expect(ContactSheet.indexes(frameCount: 81) == [0, 10, 20, 30, 40, 50, 60, 70, 80])
        #expect(ContactSheet.indexes(frameCount: 33).count == 9 && ContactSheet.indexes(frameCount: 33).last == 32)
        #expect(ContactSheet.indexes(frameCount: 5) == [0, 1, 2, 3, 4])
        let frames = ContactSheet.indexes(frameCount: 33).map {
            RGBImage(width: 256, height: 144, pixels: Film.frame($0, width: 256, height: 144))
        }
        let sheet = ContactSheet.compose(frames)
        #expect(sheet.width == 3 * (256 + 4) + 4 && sheet.height == 3 * (144 + 4) + 4)
        let middle = (0..<144).flatMap { y -> ArraySlice<UInt8> in
            let start = ((4 + 148 + y) * sheet.width + 4 + 260) * 3
            return sheet.pixels[start..<(start + 256 * 3)]
        }
        #expect(middle == frames[4].pixels)
        let large = RGBImage(width: 1280, height: 720, pixels: [UInt8](repeating: 9, count: 1280 * 720 * 3))
        let small = ContactSheet.compose([large, large])
        #expect(small.width == 2 * 484 + 4 && small.height == 270 + 8)
    }

    // MARK: Marks of pictures

    private func segment(_ marker: UInt8, _ body: [UInt8]) -> [UInt8] {
        [0xFF, marker, UInt8((body.count + 2) >> 8), UInt8((body.count + 2) & 255)] + body
    }

    private func jpeg(_ segments: [UInt8]) throws -> [UInt8] {
        let image = RGBImage(width: 16, height: 16, pixels: [UInt8](repeating: 90, count: 768))
        let plain = try PosterWriter.encode(image)
        return Array(plain.prefix(2)) + segments + plain.dropFirst(2)
    }

    private func marks(_ bytes: [UInt8]) -> PictureMarks {
        PictureMarks.read(ByteWindow(count: bytes.count) { Array(bytes[$0..<($0 + $1)]) })
    }

    @Test func jpegMarksAreFound() throws {
        #expect(marks(try jpeg([])) == PictureMarks())
        let packet = SyntheticMediaXMP.packet(
            creatorTool: "x", digitalSourceType: .compositeWithTrainedAlgorithmicMedia)
        let xmp = segment(0xE1, Array("http://ns.adobe.com/xap/1.0/\0".utf8) + Array(packet.utf8))
        let found = marks(try jpeg(xmp))
        #expect(found.hasXMP && !found.hasC2PAManifest)
        #expect(
            found.digitalSourceType
                == SyntheticMediaXMP.DigitalSourceType.compositeWithTrainedAlgorithmicMedia.address)
        let attribute =
            "<rdf:Description Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture\"/>"
        let camera = segment(0xE1, Array("http://ns.adobe.com/xap/1.0/\0".utf8) + Array(attribute.utf8))
        #expect(marks(try jpeg(camera)).digitalSourceType?.hasSuffix("/digitalCapture") == true)
        let box =
            Array("JP\0\u{1}\0\0\0\u{1}\0\0\0\u{40}jumb\0\0\0\u{26}jumdc2pa".utf8) + [UInt8](repeating: 0, count: 40)
        #expect(marks(try jpeg(segment(0xEB, box))).hasC2PAManifest)
        #expect(!marks(try jpeg(segment(0xEB, Array("JP but nothing else".utf8)))).hasC2PAManifest)
    }

    @Test func pngMarksAreFound() throws {
        let image = RGBImage(width: 8, height: 8, pixels: [UInt8](repeating: 90, count: 192))
        let plain = try PNGWriter.encode(image)
        func chunk(_ type: String, _ body: [UInt8]) -> [UInt8] {
            withUnsafeBytes(of: UInt32(body.count).bigEndian, Array.init) + Array(type.utf8) + body + [0, 0, 0, 0]
        }
        let packet = Array("XML:com.adobe.xmp\0\0\0\0\0".utf8) + Array(SyntheticMediaXMP.packet(creatorTool: "x").utf8)
        let end = plain.count - 12
        let bytes = Array(plain[..<end]) + chunk("iTXt", packet) + chunk("caBX", [1, 2, 3]) + Array(plain[end...])
        let found = marks(bytes)
        #expect(found.hasXMP && found.hasC2PAManifest)
        #expect(found.digitalSourceType == SyntheticMediaXMP.DigitalSourceType.trainedAlgorithmicMedia.address)
        #expect(marks(plain) == PictureMarks())
    }

    @Test func mutatedPicturesNeverCrash() throws {
        let packet =
            Array("http://ns.adobe.com/xap/1.0/\0".utf8) + Array(SyntheticMediaXMP.packet(creatorTool: "x").utf8)
        let source = try jpeg(segment(0xE1, packet))
        var random = SplitMix(3)
        for _ in 0..<2000 {
            var bytes = source
            for _ in 0..<6 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            let found = marks(Array(bytes.prefix(Int.random(in: 1...bytes.count, using: &random))))
            #expect(found.digitalSourceType == nil || found.hasXMP)
        }
    }
}
