import Foundation
import Testing

@testable import Media

/// Frames that our tests draw, and the film made of them.
enum Film {
    static let marks = VideoMarks(
        comment: "prompt: a cat, naïve and 猫\nseed: 42", dropreel: #"{"schema":1,"prompt":"a \"cat\" 猫"}"#,
        aigc: #"{"Label":"1","ContentProducer":"here","ProduceID":"7"}"#,
        xmp: SyntheticMediaXMP.packet(creatorTool: "Dropreel <1> & more"))

    /// A bright disc that moves over a smooth ground.
    static func frame(_ index: Int, width: Int, height: Int) -> [UInt8] {
        let centerX = Double(width) * (0.2 + 0.01 * Double(index))
        let centerY = Double(height) * 0.5
        let radius = Double(min(width, height)) / 4
        var pixels: [UInt8] = []
        pixels.reserveCapacity(width * height * 3)
        for y in 0..<height {
            for x in 0..<width {
                let dx = Double(x) - centerX
                let dy = Double(y) - centerY
                let inside = max(0, min(1, (radius - (dx * dx + dy * dy).squareRoot()) / 4 + 0.5))
                let red = 40 + 120 * Double(x) / Double(width)
                let blue = 200 - 140 * Double(y) / Double(height)
                pixels.append(UInt8(red + inside * (230 - red)))
                pixels.append(UInt8(90 + inside * 100))
                pixels.append(UInt8(blue + inside * (60 - blue)))
            }
        }
        return pixels
    }

    @discardableResult
    static func write(
        to path: String, settings: VideoSettings = VideoSettings(width: 256, height: 144), frameCount: Int = 33,
        marks: VideoMarks = Film.marks
    ) throws -> VideoSummary {
        let writer = try VideoWriter(path: path, settings: settings, marks: marks)
        for index in 0..<frameCount {
            try writer.append(frame(index, width: settings.width, height: settings.height))
        }
        return try writer.finish()
    }

    static func decibels(_ a: [UInt8], _ b: [UInt8]) -> Double {
        let squares = zip(a, b).reduce(0.0) { $0 + Double(Int($1.0) - Int($1.1)) * Double(Int($1.0) - Int($1.1)) }
        return 10 * log10(255 * 255 * Double(a.count) / max(squares, 1e-9))
    }
}
