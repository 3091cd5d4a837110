import TestSupport
import Testing

@testable import Media

@Suite("Resize")
struct ResizerTests {
    /// A plain loop in double precision, both passes rounded to 8 bits: the judge of the fixed-point one.
    private func naive(_ samples: [Double], to count: Int) -> [Double] {
        let scale = Double(samples.count) / Double(count)
        let support = max(1, scale)
        return (0..<count).map { index in
            let center = (Double(index) + 0.5) * scale
            var sum = 0.0
            var total = 0.0
            for (position, sample) in samples.enumerated() {
                let weight = max(0, 1 - abs(Double(position) + 0.5 - center) / support)
                sum += weight * sample
                total += weight
            }
            return (sum / total).rounded()
        }
    }

    @Test(arguments: [
        (37, 23, 16, 16), (37, 23, 64, 48), (5, 90, 33, 7), (1, 1, 9, 5), (200, 3, 1, 3), (64, 64, 64, 17),
    ])
    func agreesWithANaiveLoop(_ width: Int, _ height: Int, _ newWidth: Int, _ newHeight: Int) {
        var random = SplitMix(UInt64(width * 1_000 + newWidth))
        let pixels = (0..<(width * height * 3)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let image = RGBImage(width: width, height: height, pixels: pixels)
        let resized = Resizer.resize(image, width: newWidth, height: newHeight)
        #expect(resized.width == newWidth && resized.height == newHeight)
        for channel in 0..<3 {
            let rows = (0..<height).map { y in
                naive((0..<width).map { Double(pixels[(y * width + $0) * 3 + channel]) }, to: newWidth)
            }
            for x in 0..<newWidth {
                let column = naive(rows.map { $0[x] }, to: newHeight)
                for y in 0..<newHeight {
                    let found = Double(resized.pixels[(y * newWidth + x) * 3 + channel])
                    #expect(abs(found - column[y]) <= 1)
                }
            }
        }
    }

    @Test func ofTheSameSizeIsTheSamePicture() {
        let image = RGBImage(width: 3, height: 2, pixels: (0..<18).map { UInt8($0) })
        #expect(Resizer.resize(image, width: 3, height: 2) == image)
    }

    @Test func keepsAPlainColour() {
        let image = RGBImage(width: 1_000, height: 7, pixels: orange(7_000))
        let small = Resizer.resize(image, width: 16, height: 32)
        #expect(small.pixels == orange(16 * 32))
    }

    private func orange(_ count: Int) -> [UInt8] { [[UInt8]](repeating: [255, 128, 0], count: count).flatMap { $0 } }
}
