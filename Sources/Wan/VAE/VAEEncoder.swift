import Sampling
import Tensors

/// One encoding in progress: the first frame alone, then chunks of four or a multiple, each a latent frame per four.
///
/// The frames after an image are all zero. What a causal convolution has seen nothing but one frame repeated for makes
/// the same frame again; so every layer computes until it stands still, and not again: the same values, bit for bit.
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
    /// The frame of `output` that later ones equal once it stands still.
    private var lastOutput = 0
    /// Levels computed, and levels whose output stood, for tests and reports.
    public private(set) var levelsRun = 0
    public private(set) var levelsSkipped = 0
    /// Frames that convolutions over time were computed for, all layers together.
    public var convolvedFrames: Int { arena.convolvedFrames }

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
        let steady = skipsRepetition ? given : FrameSpan.never
        var (start, latentStart) = (0, 0)
        while start < geometry.frameCount {
            try check?()
            let count = start == 0 ? 1 : min(chunkFrames, geometry.frameCount - start)
            let span = FrameSpan(start: start, count: count, steady: steady)
            let part = Frames(tensor: input.rows(0..<count), slot: nil, span: span)
            if start < given {
                backend.write(channelsLast(frames, given: given, start..<start + count), into: part.tensor)
            } else {
                backend.fill(part.distinct, with: 0)
            }
            let means = run(part)
            let values = backend.download(means)
            try backend.check()
            store(values, frames: means.shape[0], at: latentStart, in: &latents)
            latentStart += means.shape[0]
            start += count
        }
        return latents
    }

    private func run(_ frames: Frames) -> Tensor {
        var x = frames
        for level in weights.levels.indices.dropLast() { x = descend(x, level: level) }
        return descendLast(x)
    }

    /// One level and the way down to the next.
    private func descend(_ x: Frames, level: Int) -> Frames {
        let part = weights.levels[level]
        guard let downsample = part.downsample, let output = levels[level].output else {
            preconditionFailure("the last level has no way down")
        }
        let count = x.span.count
        let span = x.span.convolved(times: 2 * part.blocks.count + (level == 0 ? 1 : 0))
        // In front of the frames stands the last one of the chunk before.
        let whole = levels[level].spatial
        let spatial = whole?.rows(1..<1 + count) ?? output.rows(0..<count)
        if span.isRepetition {
            levelsSkipped += 1
            if whole == nil { moveToFront(output, &levels[level].lastOutput) }
        } else {
            levelsRun += 1
            for rows in passes(count, plan.passFrames[level]) where !span.part(rows).isRepetition {
                let frames = blocks(x.part(rows), level: level)
                let target = rows.lowerBound..<rows.lowerBound + frames.span.distinct
                backend.convolve(
                    frames.distinct, downsample, history: nil, residual: nil, into: spatial.rows(target))
            }
            if whole == nil { levels[level].lastOutput = span.distinct - 1 }
        }
        guard let whole, let timeConvolution = part.timeConvolution else {
            return Frames(tensor: spatial, slot: nil, span: span)
        }
        let result = span.halved
        if x.span.start == 0 {
            backend.copy(spatial, into: output.rows(0..<1))
            levels[level].lastOutput = 0
        } else if result.isRepetition {
            moveToFront(output, &levels[level].lastOutput)
        } else {
            let made = result.distinct
            if span.isRepetition { backend.copy(whole.rows(0..<1), into: spatial.rows(0..<1)) }
            arena.repeatLast(spatial, of: span.distinct, upTo: 2 * made)
            backend.convolve(
                whole.rows(0..<1 + 2 * made), timeConvolution, history: nil, residual: nil, into: output.rows(0..<made))
            levels[level].lastOutput = made - 1
        }
        if !span.isRepetition {
            backend.copy(whole.rows(span.distinct..<span.distinct + 1), into: whole.rows(0..<1))
        }
        return Frames(tensor: output.rows(0..<result.count), slot: nil, span: result)
    }

    /// The last level, the middle and the head; every frame of the result is there.
    private func descendLast(_ x: Frames) -> Tensor {
        let level = weights.levels.count - 1
        let result = output.rows(0..<x.span.count)
        let span = x.span.convolved(times: 2 * weights.levels[level].blocks.count + 5)
        if span.isRepetition {
            levelsSkipped += 1
            moveToFront(output, &lastOutput)
        } else {
            levelsRun += 1
            for rows in passes(x.span.count, plan.passFrames[level]) where !span.part(rows).isRepetition {
                finish(blocks(x.part(rows), level: level), into: result, from: rows.lowerBound)
            }
            lastOutput = span.distinct - 1
        }
        arena.repeatLast(result, of: span.distinct, upTo: result.shape[0])
        return result
    }

    /// The middle and the head, for frames `first...` of the result.
    private func finish(_ x: Frames, into result: Tensor, from first: Int) {
        var frames = arena.residual(x, weights.middle.first, tailHistories[0..<2])
        arena.attend(frames, weights.middle.attention)
        frames = arena.residual(frames, weights.middle.last, tailHistories[2..<4])
        let free = arena.others(than: frames.slot)
        let normed = arena.slot(free[0], frames.tensor.shape)
        backend.channelNorm(
            frames.distinct, gamma: weights.headNorm, activation: .silu, into: normed.rows(0..<frames.span.distinct))
        let parameters = arena.slot(free[1], Array(normed.shape.dropLast()) + [2 * configuration.latentChannels])
        let made = arena.convolve(normed, frames.span, weights.head, tailHistories[4], into: parameters).distinct
        let pixels = made * geometry.latentArea
        backend.linear(
            parameters.rows(0..<made).reshaped([pixels, 2 * configuration.latentChannels]), weights.mean,
            into: result.rows(first..<first + made).reshaped([pixels, configuration.latentChannels]), .none)
    }

    private func blocks(_ x: Frames, level: Int) -> Frames {
        let part = weights.levels[level]
        var frames = x
        if level == 0 {
            let entry = arena.slot(0, Array(x.tensor.shape.dropLast()) + [weights.input.outputChannels])
            let span = arena.convolve(x.tensor, x.span, weights.input, inputHistory, into: entry)
            frames = Frames(tensor: entry, slot: 0, span: span)
        }
        for (index, block) in part.blocks.enumerated() {
            frames = arena.residual(frames, block, levels[level].histories[2 * index..<2 * index + 2])
        }
        return frames
    }

    /// Frame `last` of `frames` becomes the first.
    private func moveToFront(_ frames: Tensor, _ last: inout Int) {
        if last > 0 { backend.copy(frames.rows(last..<last + 1), into: frames.rows(0..<1)) }
        last = 0
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
    /// The frame of `output` that later ones equal once it stands still.
    var lastOutput = 0
}
