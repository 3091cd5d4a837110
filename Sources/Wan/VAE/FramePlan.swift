import Sampling
import Tensors

/// Every buffer an encoding or decoding needs, known before it starts; none grows with the clip.
struct FramePlan {
    /// Frames each level takes at once.
    var passFrames: [Int] = []
    /// Values of each of the arena's three slots.
    var slotElements = 0
    /// Values of q, k and v of one frame in the middle's attention.
    var attentionElements = 0
    /// Shapes of the causal convolutions' histories, in the order the modules run.
    var histories: [[Int]] = []
    /// Shapes of what one level hands to the next.
    var buffers: [[Int]] = []
    /// Values of the host-facing ends (latents, video), and bytes of the 8-bit frames.
    var endElements = 0
    var frameBytes = 0

    func byteCount(activation: DType) -> Int {
        let shapes = (histories + buffers).reduce(0) { $0 + $1.reduce(1, *) }
        return (3 * slotElements + attentionElements + shapes + endElements) * activation.byteCount + frameBytes
    }

    /// Splits `frames` evenly so that a pass has at most `pixelBudget` pixels, but always a frame.
    static func pass(_ frames: Int, pixels: Int, budget: Int) -> Int {
        let most = max(1, budget / max(pixels, 1))
        let passes = (frames + most - 1) / most
        return (frames + passes - 1) / passes
    }

    private mutating func reserve(_ elements: Int) { slotElements = max(slotElements, elements) }

    /// Source of the order of modules: Wan2.1 wan/modules/vae.py `Decoder3d`.
    init(decoder configuration: VAEConfiguration, height: Int, width: Int, chunkFrames: Int, pixelBudget: Int) {
        let dims = configuration.decoderDims
        let doublesTime = Array(configuration.halvesTime.reversed())
        var (height, width, frames) = (height, width, chunkFrames)
        let latent = configuration.latentChannels
        histories.append([2, height, width, latent])
        histories += Array(repeating: [2, height, width, dims[0]], count: 4)
        attentionElements = 3 * height * width * dims[0]
        endElements = 2 * chunkFrames * latent * height * width
        for level in 0..<configuration.levelCount {
            let pixels = height * width
            let pass = Self.pass(frames, pixels: pixels, budget: pixelBudget)
            passFrames.append(pass)
            let entry = level == 0 ? dims[0] : dims[level] / 2
            let channels = dims[level + 1]
            reserve(pass * pixels * max(entry, channels))
            for block in 0...configuration.residualBlocks {
                histories.append([2, height, width, block == 0 ? entry : channels])
                histories.append([2, height, width, channels])
            }
            guard level < doublesTime.count else {
                histories.append([2, height, width, channels])
                endElements += pass * pixels * 3
                frameBytes = pass * pixels * 3
                return
            }
            var produced = pass
            if doublesTime[level] {
                histories.append([2, height, width, channels])
                reserve(pass * pixels * 2 * channels)
                produced *= 2
            }
            reserve(Self.pass(produced, pixels: 4 * pixels, budget: pixelBudget) * 4 * pixels * channels)
            (height, width, frames) = (2 * height, 2 * width, produced)
            buffers.append([produced, height, width, channels / 2])
        }
    }

    /// Source of the order of modules: Wan2.1 wan/modules/vae.py `Encoder3d`.
    init(encoder configuration: VAEConfiguration, height: Int, width: Int, chunkFrames: Int, pixelBudget: Int) {
        let dims = configuration.encoderDims
        var (height, width, frames) = (height, width, chunkFrames)
        histories.append([2, height, width, 3])
        endElements = chunkFrames * height * width * 3
        for level in 0..<configuration.levelCount {
            let pixels = height * width
            let pass = Self.pass(frames, pixels: pixels, budget: pixelBudget)
            passFrames.append(pass)
            let (entry, channels) = (dims[level], dims[level + 1])
            reserve(pass * pixels * max(entry, channels))
            for block in 0..<configuration.residualBlocks {
                histories.append([2, height, width, block == 0 ? entry : channels])
                histories.append([2, height, width, channels])
            }
            guard level < configuration.halvesTime.count else {
                histories += Array(repeating: [2, height, width, channels], count: 5)
                attentionElements = 3 * pixels * channels
                reserve(pass * pixels * 2 * configuration.latentChannels)
                endElements += frames * pixels * configuration.latentChannels
                return
            }
            (height, width) = (height / 2, width / 2)
            if configuration.halvesTime[level] {
                buffers.append([1 + frames, height, width, channels])
                frames = max(1, frames / 2)
            }
            buffers.append([frames, height, width, channels])
        }
    }
}
