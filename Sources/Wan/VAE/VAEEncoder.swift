import Sampling
import Tensors

/// One encoding in progress: the first frame alone, then chunks of four or a multiple, each a latent frame per four.
///
/// The frames after an image are all zero. A level whose whole memory has seen nothing but repeated chunks would
/// repeat its last output, so it does not run again: the same values, bit for bit.
/// Source: Wan2.1 wan/modules/vae.py `WanVAE_.encode`, `Resample`.
public final class VAEEncoder {
    public let geometry: LatentGeometry
    private let configuration: VAEConfiguration
    private let weights: EncoderWeights
    private let backend: any Backend
    private let plan: FramePlan
    private let arena: FrameArena
    private let chunkFrames: Int
    private let skipsRepetition: Bool
    private let input: Tensor
    private let inputHistory: FrameHistory
    private var levels: [EncoderLevelState] = []
    private let tailHistories: [FrameHistory]
    /// Normalised means `[latent frames of a chunk, h, w, 16]`.
    private let output: Tensor
    /// Levels computed, and levels whose output stood, for tests and reports.
    public private(set) var levelsRun = 0
    public private(set) var levelsSkipped = 0

    init(
        _ vae: VAE, _ geometry: LatentGeometry, chunkLatents: Int, pixelBudget: Int, skipsRepetition: Bool
    ) throws {
        precondition(chunkLatents > 0, "a chunk has a frame")
        (self.geometry, self.skipsRepetition) = (geometry, skipsRepetition)
        (configuration, weights, backend) = (vae.configuration, vae.encoder, vae.backend)
        chunkFrames = configuration.framesPerLatent * min(chunkLatents, max(1, geometry.latentFrames - 1))
        let (height, width) = (geometry.size.height, geometry.size.width)
        plan = FramePlan(
            encoder: configuration, height: height, width: width, chunkFrames: chunkFrames, pixelBudget: pixelBudget)
        let type = backend.activationType
        arena = try FrameArena(plan, backend)
        input = try backend.allocate([chunkFrames, height, width, 3], type)
        inputHistory = arena.takeHistories(1)[0]
        var buffers = plan.buffers[...]
        for level in weights.levels {
            let histories = arena.takeHistories(2 * level.blocks.count)
            var (spatial, output): (Tensor?, Tensor?)
            if level.timeConvolution != nil { spatial = try backend.allocate(buffers.removeFirst(), type) }
            if level.downsample != nil { output = try backend.allocate(buffers.removeFirst(), type) }
            levels.append(EncoderLevelState(histories: histories, spatial: spatial, output: output))
        }
        tailHistories = arena.takeHistories(5)
        output = try backend.allocate(
            [
                chunkFrames / configuration.framesPerLatent, geometry.latentHeight, geometry.latentWidth,
                configuration.latentChannels,
            ], type)
    }

    /// Encodes frames into normalised latents `[16, F, H/8, W/8]`.
    ///
    /// - Parameters:
    ///   - frames: `[3, n, H, W]` in [-1, 1]; frames beyond the n are zero (mid-grey).
    ///   - check: called before every chunk; an error it throws ends the encoding.
    public func encode(_ frames: [Float], check: (() throws -> Void)? = nil) throws -> [Float] {
        let pixels = geometry.size.area
        let given = frames.count / (3 * pixels)
        precondition(frames.count == given * 3 * pixels && given >= 1 && given <= geometry.frameCount, "no such frames")
        var latents = [Float](repeating: 0, count: geometry.latentCount)
        var (start, latentStart, zeroFrames) = (0, 0, 0)
        while start < geometry.frameCount {
            try check?()
            let count = start == 0 ? 1 : min(chunkFrames, geometry.frameCount - start)
            let part = input.rows(0..<count)
            if start < given {
                backend.write(channelsLast(frames, given: given, start..<start + count), into: part)
            } else {
                if zeroFrames == 0 || count != chunkFrames { backend.fill(part, with: 0) }
                zeroFrames += count
            }
            // A chunk repeats the one before it if both were whole chunks of zeros.
            let repeated = skipsRepetition && count == chunkFrames ? max(0, zeroFrames - count) : 0
            let means = try run(part, isFirst: start == 0, repeated: repeated)
            let values = backend.download(means)
            try backend.check()
            store(values, frames: means.shape[0], at: latentStart, in: &latents)
            latentStart += means.shape[0]
            start += count
        }
        return latents
    }

    /// - Parameter repeated: how many of the last input frames, this chunk included, equal those a chunk earlier.
    private func run(_ frames: Tensor, isFirst: Bool, repeated: Int) throws -> Tensor {
        var (x, repeated) = (frames, repeated)
        for level in weights.levels.indices {
            let isLast = level == weights.levels.count - 1
            let part = weights.levels[level]
            // Each causal convolution looks two frames back.
            let convolutions = 2 * part.blocks.count + (level == 0 ? 1 : 0) + (isLast ? 5 : 0)
            var settled = max(0, repeated - 2 * convolutions)
            var produced = x.shape[0]
            if part.timeConvolution != nil, !isFirst {
                settled = max(0, settled - 2) / 2
                produced /= 2
            }
            let result = (isLast ? output : levels[level].output!).rows(0..<produced)
            if !isFirst, settled >= produced {
                levelsSkipped += 1
            } else {
                levelsRun += 1
                if isLast {
                    descendLast(x, into: result)
                } else {
                    descend(x, level: level, isFirst: isFirst, into: result)
                }
            }
            (x, repeated) = (result, settled)
        }
        return x
    }

    /// One level and the way down to the next.
    private func descend(_ x: Tensor, level: Int, isFirst: Bool, into result: Tensor) {
        let (part, state) = (weights.levels[level], levels[level])
        guard let downsample = part.downsample else { preconditionFailure("the last level has no way down") }
        let count = x.shape[0]
        // In front of the frames stands the last one of the chunk before.
        let spatial = state.spatial.map { $0.rows(1..<1 + count) } ?? result
        for rows in passes(count, plan.passFrames[level]) {
            let frames = blocks(x.rows(rows), level: level)
            backend.convolve(frames.tensor, downsample, history: nil, residual: nil, into: spatial.rows(rows))
        }
        guard let whole = state.spatial, let timeConvolution = part.timeConvolution else { return }
        if isFirst {
            backend.copy(spatial, into: result)
        } else {
            backend.convolve(whole.rows(0..<1 + count), timeConvolution, history: nil, residual: nil, into: result)
        }
        backend.copy(whole.rows(count..<count + 1), into: whole.rows(0..<1))
    }

    /// The last level, the middle and the head.
    private func descendLast(_ x: Tensor, into result: Tensor) {
        let level = weights.levels.count - 1
        for rows in passes(x.shape[0], plan.passFrames[level]) {
            var frames = blocks(x.rows(rows), level: level)
            frames = arena.residual(frames, weights.middle.first, tailHistories[0..<2])
            arena.attend(frames, weights.middle.attention)
            frames = arena.residual(frames, weights.middle.last, tailHistories[2..<4])
            let free = arena.others(than: frames.slot)
            let normed = arena.slot(free[0], frames.tensor.shape)
            backend.channelNorm(frames.tensor, gamma: weights.headNorm, activation: .silu, into: normed)
            let parameters = arena.slot(
                free[1], Array(normed.shape.dropLast()) + [2 * configuration.latentChannels])
            arena.convolve(normed, weights.head, tailHistories[4], into: parameters)
            let pixels = rows.count * geometry.latentArea
            backend.linear(
                parameters.reshaped([pixels, 2 * configuration.latentChannels]), weights.mean,
                into: result.rows(rows).reshaped([pixels, configuration.latentChannels]), .none)
        }
    }

    private func blocks(_ x: Tensor, level: Int) -> Frames {
        let part = weights.levels[level]
        var frames = Frames(tensor: x, slot: nil)
        if level == 0 {
            let entry = arena.slot(0, Array(x.shape.dropLast()) + [weights.input.outputChannels])
            arena.convolve(x, weights.input, inputHistory, into: entry)
            frames = Frames(tensor: entry, slot: 0)
        }
        for (index, block) in part.blocks.enumerated() {
            frames = arena.residual(frames, block, levels[level].histories[2 * index..<2 * index + 2])
        }
        return frames
    }

    private func passes(_ count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }

    /// Frames `range` of `[3, given, H, W]`, zero beyond, as `[n, H, W, 3]`.
    private func channelsLast(_ frames: [Float], given: Int, _ range: Range<Int>) -> [Float] {
        let pixels = geometry.size.area
        var values = [Float](repeating: 0, count: range.count * pixels * 3)
        for channel in 0..<3 {
            for frame in range where frame < given {
                let source = (channel * given + frame) * pixels
                let target = (frame - range.lowerBound) * pixels * 3 + channel
                for pixel in 0..<pixels { values[target + 3 * pixel] = frames[source + pixel] }
            }
        }
        return values
    }

    /// `[n, h, w, 16]` -> `(mu - mean) * (1 / std)` in frames `at...` of `[16, F, h, w]`.
    private func store(_ means: [Float], frames: Int, at start: Int, in latents: inout [Float]) {
        let (area, channels) = (geometry.latentArea, configuration.latentChannels)
        for channel in 0..<channels {
            let (mean, inverse) = (configuration.latentMeans[channel], 1 / configuration.latentDeviations[channel])
            let target = (channel * geometry.latentFrames + start) * area
            for pixel in 0..<frames * area {
                latents[target + pixel] = (means[pixel * channels + channel] - mean) * inverse
            }
        }
    }
}

/// What one encoder level keeps between chunks.
struct EncoderLevelState {
    let histories: [FrameHistory]
    /// `[1 + frames, h, w, channels]`: the frame before, then the chunk's, after the spatial way down.
    let spatial: Tensor?
    /// What the level hands on.
    let output: Tensor?
}
