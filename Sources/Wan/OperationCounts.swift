import Sampling

/// Multiplications and additions of the models, for estimates of time; norms and the like are not counted.
public enum OperationCounts {
    /// One call of a transformer.
    /// - Parameter attendedShare: share of keys a query attends to, 1 for dense attention.
    public static func transformerStep(
        _ configuration: TransformerConfiguration, tokens: Int, textRows: Int, attendedShare: Double
    ) -> Double {
        let (tokens, dim) = (Double(tokens), Double(configuration.dim))
        let linear = 2 * tokens * dim * (6 * dim + 2 * Double(configuration.feedForwardDim))
        let attention =
            4 * tokens * dim * (tokens * attendedShare + Double(min(textRows + 1, configuration.textLength)))
        return Double(configuration.layerCount) * (linear + attention)
    }

    public static func textEncoding(_ configuration: TextEncoderConfiguration, tokenCount: Int) -> Double {
        let (tokens, dim) = (Double(tokenCount), Double(configuration.dim))
        let inner = Double(configuration.attentionDim)
        let linear = 2 * tokens * dim * (4 * inner + 3 * Double(configuration.feedForwardDim))
        return Double(configuration.layerCount) * (linear + 4 * tokens * tokens * inner)
    }

    /// Decoding all frames.
    public static func decoding(_ configuration: VAEConfiguration, geometry: LatentGeometry) -> Double {
        let dims = configuration.decoderDims
        let doublesTime = Array(configuration.halvesTime.reversed())
        var (pixels, frames) = (Double(geometry.latentArea), Double(geometry.latentFrames))
        var total = pixels * frames * 27 * Double(4 * dims[0] * dims[0]) + attention(pixels, frames, dims[0])
        for level in 0..<configuration.levelCount {
            let width = Double(dims[level + 1])
            total += pixels * frames * 27 * width * width * Double(2 * (configuration.residualBlocks + 1))
            guard level < doublesTime.count else { continue }
            if doublesTime[level] {
                total += pixels * frames * 3 * 2 * width * width
                frames = 2 * frames - 1
            }
            pixels *= 4
            total += pixels * frames * 9 * width * width / 2
        }
        return 2 * total
    }

    /// Encoding one picture followed by grey frames; each level counted for the chunks it really runs for.
    public static func imageEncoding(_ configuration: VAEConfiguration, geometry: LatentGeometry) -> Double {
        let dims = configuration.encoderDims
        var (pixels, frames) = (Double(geometry.size.area), Double(geometry.frameCount))
        var (total, memory) = (0.0, 0.0)
        for level in 0..<configuration.levelCount {
            let width = Double(dims[level + 1])
            // Grey frames repeat themselves once they fill all the convolutions' histories.
            memory += Double(4 * configuration.residualBlocks + (level == 0 ? 2 : 0))
            let computed = min(frames, memory + 8)
            total += pixels * computed * 27 * width * width * Double(2 * configuration.residualBlocks)
            guard level < configuration.halvesTime.count else {
                total += pixels * frames * 27 * width * width * 4 + attention(pixels, frames, dims[level + 1])
                continue
            }
            pixels /= 4
            total += pixels * computed * 9 * width * width
            if configuration.halvesTime[level] {
                frames = (frames + 1) / 2
                memory = memory / 2 + 1
            }
        }
        return 2 * total
    }

    private static func attention(_ pixels: Double, _ frames: Double, _ channels: Int) -> Double {
        frames * pixels * Double(channels) * (4 * Double(channels) + 2 * pixels)
    }
}
