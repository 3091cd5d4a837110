/// A picture in memory: `pixels` is `[height, width, 3]` RGB, 8 bits a sample, top row first.
public struct RGBImage: Equatable, Sendable {
    public let width: Int
    public let height: Int
    public let pixels: [UInt8]

    /// - Precondition: `pixels.count == height * width * 3`, no side is zero.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == width * height * 3)
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// `[3, height, width]` f32 in -1...1: `(u8 / 255 - 0.5) / 0.5`, each operation rounded to f32, the first
    /// one a product with 1 / 255 as torchvision's `ToDtype(scale=True)` makes it.
    public func normalized() -> [Float] {
        let plane = width * height
        let table = (0..<256).map { (Float($0) * (1 / 255) - 0.5) / 0.5 }
        return [Float](unsafeUninitializedCapacity: 3 * plane) { out, count in
            pixels.withUnsafeBufferPointer { pixels in
                for index in 0..<plane {
                    for channel in 0..<3 {
                        out[channel * plane + index] = table[Int(pixels[3 * index + channel])]
                    }
                }
            }
            count = 3 * plane
        }
    }
}

extension RGBImage {
    /// The picture as its camera held it: EXIF orientation 1...8, see TIFF 6.0 tag 274.
    ///
    /// Orientations 5...8 exchange width and height. Any other value leaves the picture as it is.
    func upright(from orientation: Int) -> RGBImage {
        guard (2...8).contains(orientation) else { return self }
        let turned = orientation >= 5
        let newWidth = turned ? height : width
        let newHeight = turned ? width : height
        let turnedPixels = [UInt8](unsafeUninitializedCapacity: pixels.count) { out, count in
            pixels.withUnsafeBufferPointer { source in
                for y in 0..<newHeight {
                    for x in 0..<newWidth {
                        let (column, row) =
                            switch orientation {
                            case 2: (width - 1 - x, y)
                            case 3: (width - 1 - x, height - 1 - y)
                            case 4: (x, height - 1 - y)
                            case 5: (y, x)
                            case 6: (y, height - 1 - x)
                            case 7: (width - 1 - y, height - 1 - x)
                            default: (width - 1 - y, x)
                            }
                        let from = 3 * (row * width + column)
                        let to = 3 * (y * newWidth + x)
                        out[to] = source[from]
                        out[to + 1] = source[from + 1]
                        out[to + 2] = source[from + 2]
                    }
                }
            }
            count = pixels.count
        }
        return RGBImage(width: newWidth, height: newHeight, pixels: turnedPixels)
    }
}
