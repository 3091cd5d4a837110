import Digests
import Media
import Sampling
import Tensors
import Wan

extension GenerationJob {
    /// `[tokens, textDim]`.
    func encodeText() throws -> [Float] {
        let ids = Array(tokens.ids.prefix(tokens.length))
        let key = "\(plan.files.model.name) \(ids)"
        if let known = generator.texts[key] {
            return try tracker.during(.text, completing: 1) { known }
        }
        let encoder = try load(manifest.textEncoder, workspace: .text) {
            let encoder = try TextEncoder(plan.files.textEncoder, backend: backend)
            return (encoder, encoder.weightBytes)
        }
        let layers = Double(encoder.configuration.layerCount)
        let rows = try tracker.during(.text, completing: 1) {
            try encoder.encode(ids) { stage, _ in
                if case .block(let layer) = stage { try self.tracker.reach(Double(layer + 1) / (layers + 1)) }
            }
        }
        generator.texts[key] = rows
        return rows
    }

    /// Mask and latents of the picture, `[20, F, H/8, W/8]`.
    func encodePicture(_ image: RGBImage) throws -> [Float] {
        var digest = Digest()
        image.pixels.withUnsafeBytes { digest.add($0) }
        let key = "\(plan.files.model.name) \(request.size) \(request.frameCount) \(image.width) \(digest.hexadecimal)"
        if let known = generator.pictures[key] {
            return try tracker.during(.image, completing: 1) { known }
        }
        let vae = try loadVAE(for: .image)
        let condition = try tracker.during(.image, completing: 1) {
            let resized = Resizer.resize(image, width: request.size.width, height: request.size.height)
            let encoder = try vae.makeEncoder(geometry)
            var chunk = 0.0
            let latents = try encoder.encode(resized.normalized()) {
                try self.tracker.reach(chunk / Double(self.geometry.latentFrames))
                chunk += 1
            }
            return imageCondition(latents: latents, geometry: geometry)
        }
        generator.pictures[key] = condition
        return condition
    }

    /// All steps; final latents `[16, F, H/8, W/8]`.
    func denoise(text: [Float], condition: [Float]?) throws -> [Float] {
        let networks = manifest.modes[request.mode] ?? .single("")
        var boundary: Double?
        if case .experts = networks { boundary = request.boundary }
        let denoising = Denoising(
            schedule: try Schedule(steps: request.steps, sigmaMax: request.sigmaMax), sampler: request.sampler,
            boundary: boundary)
        let conditioning = TextConditioning(rows: text, textDim: plan.sizes.transformer.textDim)
        var noise = CUDANoise(seed: request.seed, device: request.noiseDevice)
        var context: (expert: Expert, transformer: Transformer, text: TextContext)?
        var workspace: TransformerWorkspace?
        let clock = ContinuousClock()
        return try denoising.run(noise: &noise, count: geometry.latentCount) { step, latents in
            let expert = denoising.experts[step]
            if context?.expert != expert {
                context = nil  // the other expert may have to go before this one fits
                let transformer = try loadTransformer(networks.file(expert))
                context = (expert, transformer, try transformer.prepare(conditioning))
            }
            guard let (_, transformer, text) = context else { preconditionFailure("a step without a network") }
            let start = clock.now
            let share = 1 / Double(request.steps)
            let velocity = try tracker.during(.step, completing: Double(step + 1) * share) {
                let space = try workspace ?? transformer.makeWorkspace(geometry)
                if workspace == nil, let condition { transformer.setCondition(condition, in: space) }
                workspace = space
                let layers = Double(transformer.configuration.layerCount)
                return try transformer.velocity(
                    latents: latents, timestep: denoising.schedule.roundedTimestep(step), text: text,
                    attention: request.attentionKind, workspace: space
                ) { stage, _ in
                    guard case .block(let layer) = stage else { return }
                    try self.tracker.reach((Double(step) + Double(layer + 1) / (layers + 1)) * share)
                }
            }
            tracker.finishStep()
            steps.append(
                GenerationReport.Step(
                    timestep: denoising.schedule.roundedTimestep(step), expert: boundary == nil ? nil : expert,
                    file: networks.file(expert),
                    seconds: ProgressTracker.seconds(clock.now - start)))
            return velocity
        }
    }

    private func loadTransformer(_ file: String) throws -> Transformer {
        let transformer = try load(file, variant: request.linearPrecision.rawValue, workspace: .step) {
            let weights = try plan.files.transformer(file, mode: request.mode)
            let transformer = try Transformer(weights, backend: backend, precision: request.linearPrecision)
            return (transformer, transformer.weightBytes)
        }
        linearPrecision = transformer.linearPrecision.rawValue
        return transformer
    }

    /// Decodes into the sink; returns the middle frame and the digest of all frames.
    func decode(_ latents: [Float], into sink: any FrameSink) throws -> (poster: RGBImage, digest: String) {
        let vae = try loadVAE(for: .decode)
        let threaded = ThreadedFrameSink(sink)
        defer { threaded.abandon() }
        let (size, middle) = (request.size, request.frameCount / 2)
        let frameBytes = size.area * 3
        var poster: RGBImage?
        var done = 0
        try tracker.during(.decode, completing: 1) {
            let decoder = try vae.makeDecoder(geometry)
            try decoder.decodeBytes(latents) { frames, count in
                if (done..<done + count).contains(middle) {
                    let start = (middle - done) * frameBytes
                    poster = RGBImage(
                        width: size.width, height: size.height, pixels: Array(frames[start..<start + frameBytes]))
                }
                try threaded.append(frames, count: count)
                done += count
                try tracker.reach(Double(done) / Double(request.frameCount))
            }
        }
        let digest = try tracker.during(.encode, completing: 1) { try threaded.finish() }
        guard let poster, done == request.frameCount else {
            preconditionFailure("\(done) frames decoded of \(request.frameCount)")
        }
        return (poster, digest)
    }
}
