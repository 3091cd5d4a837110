import Foundation
import Media
import Sampling
import Tensors

/// `image`: decoding, resizing and normalising pictures as the reference does, and sizes adapted to them.
enum ImageCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        if let name = try section.root.optional("files")?.optional("adaptive")?.string {
            note(section.line("adaptive_resolution") { try compareSizes(section, name) })
        }
        try section.eachCase(note) { record, _ in try compare(section, record) }
    }

    private static func compare(_ section: Section, _ record: Record) throws -> [Measurement] {
        let (file, expectedFile) = (try record["file"].string, try record["expected_file"].string)
        let image = try ImageDecoder.decode([UInt8](Data(contentsOf: section.url(file))), options: .upstream)
        let target = try record["target_wh"].ints
        guard target.count == 2, target.allSatisfy({ $0 > 0 }) else { throw CaseError("target_wh is no size") }
        let resized = Resizer.resize(image, width: target[0], height: target[1])
        let names = try section.file(expectedFile).names
        let limits = try limits(record, file: file)
        func measure(_ name: String, _ found: [Float], _ limit: Double) throws -> Measurement {
            let expected = try section.tensor(name, in: expectedFile).floats()
            return Measurement(
                what: name, error: maximumDifference(found, expected), limit: limit, measure: "max abs")
        }
        let isDecodedStated = names.contains("decoded_rgb")
        var measurements: [Measurement] = []
        let stated = try record["size_wh"].ints
        measurements.append(
            Measurement(
                what: "size", error: stated == [image.width, image.height] ? 0 : 1, limit: 0, measure: "differing"))
        if isDecodedStated { measurements.append(try measure("decoded_rgb", planes(image), limits.decoded)) }
        measurements.append(try measure("resized_u8", planes(resized), limits.resized))
        if names.contains("normalized") {
            measurements.append(try measure("normalized", resized.normalized(), limits.normalized))
        }
        if names.contains("decoded_rgb_high_byte") {
            let sensible = try ImageDecoder.decode([UInt8](Data(contentsOf: section.url(file))))
            measurements.append(try measure("decoded_rgb_high_byte", planes(sensible), limits.decoded))
        }
        return measurements
    }

    /// `[3, height, width]`.
    private static func planes(_ image: RGBImage) -> [Float] {
        VAECases.channelsFirst(image.pixels.map(Float.init), channels: 3)
    }

    /// The tolerances, which are sentences that tell PNG, JPEG and CMYK apart.
    private static func limits(
        _ record: Record, file: String
    ) throws -> (decoded: Double, resized: Double, normalized: Double) {
        let tolerance = try record["tolerance"]
        let isJPEG = [".jpg", ".jpeg"].contains { file.lowercased().hasSuffix($0) }
        let decodedText = try tolerance["decoded_rgb"].string
        let isCMYK = try record.optional("pillow_mode")?.string == "CMYK"
        let decoded: Double
        if decodedText == "exact" {
            decoded = 0
        } else if isCMYK, decodedText.contains("CMYK") {
            decoded = try Section.leadingNumber(decodedText, after: "CMYK")
        } else {
            decoded = try Section.leadingNumber(decodedText, after: "max abs")
        }
        // "max abs 1 for PNG, 3 for JPEG"
        let resizedText = try tolerance["resized_u8"].string
        let resized = try Section.leadingNumber(
            resizedText, after: isJPEG && resizedText.contains("JPEG") ? "," : "max abs")
        // "max abs 2/255*k, k as resized_u8"
        let normalizedText = try tolerance["normalized"].string
        guard normalizedText.contains("2/255*k") else { throw CaseError("unknown tolerance \"\(normalizedText)\"") }
        return (decoded, resized, 2 / 255 * resized + 1e-6)
    }

    /// Rows of (image width, image height, resolution, aspect ratio, width, height).
    private static func compareSizes(_ section: Section, _ name: String) throws -> [Measurement] {
        let record = try Record(file: section.url(name))
        guard try record["columns"].strings == ["image_w", "image_h", "resolution", "aspect_ratio", "w", "h"] else {
            throw CaseError("\(name): unknown columns")
        }
        var (wrong, count) = (0, 0)
        for key in ["rows", "bankers_rounding_rows"] {
            for row in try record.optional(key)?.array ?? [] {
                let cells = try row.array
                guard cells.count == 6 else { throw CaseError("\(row.path) has \(cells.count) cells") }
                let base = try ResolutionTable.wan.size(
                    resolution: try cells[2].string, aspectRatio: try cells[3].string)
                let image = FrameSize(width: try cells[0].int, height: try cells[1].int)
                // Upstream does not guard against a side of 0; here the least side is 16.
                let expected = FrameSize(width: max(16, try cells[4].int), height: max(16, try cells[5].int))
                if adaptiveSize(image: image, base: base) != expected { wrong += 1 }
                count += 1
            }
        }
        guard count > 0 else { throw CaseError("\(name) has no rows") }
        var measurements = [
            Measurement(what: "\(count) sizes", error: Double(wrong), limit: 0, measure: "differing")
        ]
        if let table = record.optional("base_sizes") {
            var wrongBases = 0
            for resolution in table.keys {
                for ratio in try table[resolution].keys {
                    let size = try ResolutionTable.wan.size(resolution: resolution, aspectRatio: ratio)
                    if try table[resolution][ratio].ints != [size.width, size.height] { wrongBases += 1 }
                }
            }
            measurements.append(
                Measurement(what: "base sizes", error: Double(wrongBases), limit: 0, measure: "differing"))
        }
        return measurements
    }
}
