/// Antialiased bilinear resize on 8-bit samples, in fixed point, horizontal pass first and rounded to 8 bits between the
/// passes. The picture is stretched to the size, never cropped.
///
/// Source: PyTorch aten/src/ATen/native/cpu/UpSampleKernel.cpp (native uint8 path), after Pillow's Resample.c.
public enum Resizer {
    /// - Precondition: `width` and `height` are positive.
    public static func resize(_ image: RGBImage, width: Int, height: Int) -> RGBImage {
        precondition(width > 0 && height > 0)
        var result = image
        if width != image.width { result = horizontal(result, to: ResizeWeights(from: image.width, to: width)) }
        if height != image.height { result = vertical(result, to: ResizeWeights(from: image.height, to: height)) }
        return result
    }

    private static func horizontal(_ image: RGBImage, to weights: ResizeWeights) -> RGBImage {
        let width = weights.spans.count
        let pixels = [UInt8](unsafeUninitializedCapacity: image.height * width * 3) { out, count in
            image.pixels.withUnsafeBufferPointer { source in
                weights.values.withUnsafeBufferPointer { values in
                    for y in 0..<image.height {
                        var to = y * width * 3
                        for span in weights.spans {
                            var from = (y * image.width + span.start) * 3
                            var red = weights.half
                            var green = weights.half
                            var blue = weights.half
                            for index in span.weights {
                                let weight = Int32(values[index])
                                red &+= weight &* Int32(source[from])
                                green &+= weight &* Int32(source[from + 1])
                                blue &+= weight &* Int32(source[from + 2])
                                from += 3
                            }
                            out[to] = weights.rounded(red)
                            out[to + 1] = weights.rounded(green)
                            out[to + 2] = weights.rounded(blue)
                            to += 3
                        }
                    }
                }
            }
            count = image.height * width * 3
        }
        return RGBImage(width: width, height: image.height, pixels: pixels)
    }

    private static func vertical(_ image: RGBImage, to weights: ResizeWeights) -> RGBImage {
        let height = weights.spans.count
        let row = image.width * 3
        var sums = [Int32](repeating: 0, count: row)
        let pixels = [UInt8](unsafeUninitializedCapacity: height * row) { out, count in
            image.pixels.withUnsafeBufferPointer { source in
                sums.withUnsafeMutableBufferPointer { sums in
                    for (y, span) in weights.spans.enumerated() {
                        sums.update(repeating: weights.half)
                        for (line, index) in span.weights.enumerated() {
                            let weight = Int32(weights.values[index])
                            let from = (span.start + line) * row
                            for x in 0..<row { sums[x] &+= weight &* Int32(source[from + x]) }
                        }
                        for x in 0..<row { out[y * row + x] = weights.rounded(sums[x]) }
                    }
                }
            }
            count = height * row
        }
        return RGBImage(width: image.width, height: height, pixels: pixels)
    }
}
