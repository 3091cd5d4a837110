import Sampling
import Tensors

/// One decoding in progress: latent frames go in from the first on, video frames come out.
///
/// Chunks of any size give the same video. The first latent frame becomes one frame (it skips both doublings of
/// time), every later one four; the second meets zero history in those doublings, not the first's features.
/// Source: Wan2.1 wan/modules/vae.py `WanVAE_.decode`, `Resample`.
public final class VAEDecoder {
    public let geometry: LatentGeometry
    /// Latent frames taken at once.
    public let chunkFrames: Int
    private let configuration: VAEConfiguration
    private let weights: DecoderWeights
    private let backend: any Backend
    private let plan: FramePlan
    private let arena: FrameArena
    private let latents: Tensor
    private let projected: Tensor
    private let inputHistory: FrameHistory
    private let middleHistories: [FrameHistory]
    private let levelHistories: [[FrameHistory]]
    private let headHistory: FrameHistory
    /// What each level but the last hands on.
    private let levelOutputs: [Tensor]
    private let video: Tensor
    private let bytes: Tensor
    private let observe: ((String, Tensor) throws -> Void)?
    /// Chunks that are alike, if all frames of one come out at once.
    private let repetition: (any Repetition)?

    init(
        _ vae: VAE, _ geometry: LatentGeometry, chunkFrames: Int, pixelBudget: Int,
        observe: ((String, Tensor) throws -> Void)?
    ) throws {
        precondition(chunkFrames > 0, "a chunk has a frame")
        (self.geometry, self.chunkFrames, self.observe) = (geometry, min(chunkFrames, geometry.latentFrames), observe)
        (configuration, weights, backend) = (vae.configuration, vae.decoder, vae.backend)
        let (height, width) = (geometry.latentHeight, geometry.latentWidth)
        plan = FramePlan(
            decoder: configuration, height: height, width: width, chunkFrames: self.chunkFrames,
            pixelBudget: pixelBudget)
        let type = backend.activationType
        arena = try FrameArena(plan, backend)
        let latentShape = [self.chunkFrames, height, width, configuration.latentChannels]
        latents = try backend.allocate(latentShape, type)
        projected = try backend.allocate(latentShape, type)
        inputHistory = arena.takeHistories(1)[0]
        middleHistories = arena.takeHistories(4)
        let arena = arena
        levelHistories = weights.levels.map {
            arena.takeHistories(2 * $0.blocks.count + ($0.timeConvolution == nil ? 0 : 1))
        }
        headHistory = arena.takeHistories(1)[0]
        let backend = backend
        levelOutputs = try plan.buffers.map { try backend.allocate($0, type) }
        let frame = [plan.passFrames[plan.passFrames.count - 1], geometry.size.height, geometry.size.width, 3]
        video = try backend.allocate(frame, type)
        bytes = try backend.allocate(frame, .u8)
        let isWhole = frame[0] == self.chunkFrames * configuration.framesPerLatent
        repetition =
            isWhole
            ? backend.repetition("chunk of \(configuration), \(geometry.size), \(self.chunkFrames), \(pixelBudget)")
            : nil
    }

    /// Decodes everything, chunk by chunk.
    ///
    /// - Parameters:
    ///   - latents: normalised, `[16, F, H/8, W/8]`.
    ///   - onFrames: given consecutive frames `[n, H, W, 3]` in [-1, 1] before clamping; an error it throws ends the
    ///     decoding. The tensor is overwritten afterwards.
    public func decode(_ latents: [Float], onFrames: (Tensor) throws -> Void) throws {
        precondition(latents.count == geometry.latentCount, "latents do not fit \(geometry)")
        var start = 0
        while start < geometry.latentFrames {
            let count = start == 0 ? 1 : min(chunkFrames, geometry.latentFrames - start)
            backend.write(denormalised(latents, start..<start + count), into: self.latents.rows(0..<count))
            let chunk = self.latents.rows(0..<count)
            // The first chunk meets no histories, the second none of time's doublings: those after it are alike.
            if start > 1, count == chunkFrames, let repetition, observe == nil {
                try repetition.run { try run(chunk, isFirst: false) { _ in } }
                try onFrames(video.rows(0..<count * configuration.framesPerLatent))
            } else {
                try run(chunk, isFirst: start == 0, onFrames)
            }
            start += count
        }
    }

    /// Decodes everything into 8-bit RGB frames `[n, H, W, 3]`, as many at a time as `onFrames` is told.
    ///
    /// Where a backend queues its work, frames are handed over while later ones are computed.
    public func decodeBytes(_ latents: [Float], onFrames: ([UInt8], Int) throws -> Void) throws {
        var coming: (bytes: any ComingBytes, count: Int)?
        func handOver(_ values: [UInt8], _ count: Int) throws {
            try backend.check()
            try onFrames(values, count)
        }
        try decode(latents) { frames in
            let count = frames.shape[0]
            let part = bytes.rows(0..<count)
            backend.quantizeFrames(frames, into: part)
            let next = backend.beginDownload(part)
            if let (bytes, count) = coming { try handOver(bytes.wait(), count) }
            coming = next.map { ($0, count) }
            if next == nil { try handOver(backend.downloadBytes(part), count) }
        }
        if let (bytes, count) = coming { try handOver(bytes.wait(), count) }
    }

    private func run(_ latents: Tensor, isFirst: Bool, _ onFrames: (Tensor) throws -> Void) throws {
        let count = latents.shape[0]
        let channels = configuration.latentChannels
        let projected = projected.rows(0..<count)
        backend.linear(
            latents.reshaped([count * geometry.latentArea, channels]), weights.latent,
            into: projected.reshaped([count * geometry.latentArea, channels]), .none)
        try observe?("conv2", projected)
        for rows in passes(count, plan.passFrames[0]) {
            let z = projected.rows(rows)
            var x = Frames(
                tensor: arena.slot(0, Array(z.shape.dropLast()) + [weights.input.outputChannels]), slot: 0)
            arena.convolve(z, x.span, weights.input, inputHistory, into: x.tensor)
            try observe?("decoder.conv1", x.tensor)
            x = try arena.middle(x, weights.middle, middleHistories, name: "decoder.middle", observe: observe)
            try rise(x, level: 0, isFirst: isFirst, onFrames)
        }
    }

    /// One level, and through it all above.
    private func rise(_ x: Frames, level: Int, isFirst: Bool, _ onFrames: (Tensor) throws -> Void) throws {
        let (part, histories) = (weights.levels[level], levelHistories[level])
        var x = x
        for (index, block) in part.blocks.enumerated() {
            x = arena.residual(x, block, histories[2 * index..<2 * index + 2])
            try observe?(part.names[index], x.tensor)
        }
        guard let upsample = part.upsample else { return try finish(x, onFrames) }
        if let timeConvolution = part.timeConvolution, !isFirst {
            x = doubleTime(x, timeConvolution, histories[histories.count - 1])
        }
        let output = self.upsample(x, upsample, into: levelOutputs[level])
        try observe?(part.names[part.blocks.count], output)
        for rows in passes(output.shape[0], plan.passFrames[level + 1]) {
            try rise(Frames(tensor: output.rows(rows), slot: nil), level: level + 1, isFirst: isFirst, onFrames)
        }
    }

    /// Two frames from each, the convolution's channel halves.
    private func doubleTime(_ x: Frames, _ convolution: any Convolution, _ history: FrameHistory) -> Frames {
        let free = arena.others(than: x.slot)
        let (frames, height, width, channels) = (
            x.tensor.shape[0], x.tensor.shape[1], x.tensor.shape[2], x.tensor.shape[3]
        )
        let halves = arena.slot(free[0], [frames, height, width, 2 * channels])
        arena.convolve(x.tensor, x.span, convolution, history, into: halves)
        let doubled = arena.slot(free[1], [2 * frames, height, width, channels])
        backend.permute(
            halves.reshaped([frames, height * width, 2, channels]), axes: [0, 2, 1, 3],
            into: doubled.reshaped([frames, 2, height * width, channels]))
        return Frames(tensor: doubled, slot: free[1])
    }

    /// Twice the height and width, half the channels.
    private func upsample(_ x: Frames, _ convolution: any Convolution, into output: Tensor) -> Tensor {
        let shape = x.tensor.shape
        let free = arena.others(than: x.slot)[0]
        let output = output.rows(0..<shape[0])
        let pass = max(1, plan.slotElements / (4 * shape[1] * shape[2] * shape[3]))
        for rows in passes(shape[0], pass) {
            let large = arena.slot(free, [rows.count, 2 * shape[1], 2 * shape[2], shape[3]])
            backend.upsampleNearest(x.tensor.rows(rows), into: large)
            backend.convolve(large, convolution, history: nil, residual: nil, into: output.rows(rows))
        }
        return output
    }

    private func finish(_ x: Frames, _ onFrames: (Tensor) throws -> Void) throws {
        let normed = arena.slot(arena.others(than: x.slot)[0], x.tensor.shape)
        backend.channelNorm(x.tensor, gamma: weights.headNorm, activation: .silu, into: normed)
        let frames = video.rows(0..<x.tensor.shape[0])
        arena.convolve(normed, x.span, weights.head, headHistory, into: frames)
        try onFrames(frames)
    }

    private func passes(_ count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }

    /// Frames `range` of `[16, F, h, w]` -> `[n, h, w, 16]`, `z / (1 / std) + mean`.
    private func denormalised(_ latents: [Float], _ range: Range<Int>) -> [Float] {
        let (channels, area) = (configuration.latentChannels, geometry.latentArea)
        let inverses = configuration.latentDeviations.map { 1 / $0 }
        return [Float](unsafeUninitializedCapacity: range.count * area * channels) { rows, count in
            for channel in 0..<channels {
                let (inverse, mean) = (inverses[channel], configuration.latentMeans[channel])
                let source = (channel * geometry.latentFrames + range.lowerBound) * area
                for pixel in 0..<range.count * area {
                    rows[pixel * channels + channel] = latents[source + pixel] / inverse + mean
                }
            }
            count = range.count * area * channels
        }
    }
}
