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
        let (size, place) = (plan.needs.text, memory.textEncoder)
        let window = place == .host ? TextEncoder.windowSize * size.blockImage : 0
        let encoder = try load(
            manifest.textEncoder, variant: place.rawValue, expected: place == .host ? size.fixed : size.total,
            workspace: max(plan.needs.textWorkspace + window, size.making),
            host: place == .host && plan.needs.isApart ? size.blockCount * size.blockImage : 0
        ) {
            let encoder = try TextEncoder(
                plan.files.textEncoder, backend: backend, blocks: place, onBlock: { _ in try self.tracker.check() })
            return (encoder, encoder.weightBytes, encoder.hostBytes)
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
        let vae = try loadVAE(
            workspace: plan.needs.frameWorkspaces(pixels: memory.framePixels).image ?? 0)
        let condition = try tracker.during(.image, completing: 1) {
            let resized = Resizer.resize(image, width: request.size.width, height: request.size.height)
            let encoder = try vae.makeEncoder(geometry, pixelBudget: memory.framePixels)
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
        let conditioning = TextConditioning(rows: text, textDim: plan.needs.transformer.textDim)
        var noise = CUDANoise(seed: request.seed, device: request.noiseDevice)
        var context: (expert: Expert, transformer: Transformer, text: TextContext)?
        var workspace: TransformerWorkspace?
        steps = []
        transferSeconds = 0
        let window = try streamingWindow(denoising, networks)
        let clock = ContinuousClock()
        let given = request.exactFirstFrame ? condition.map { pictureFrame(condition: $0, geometry: geometry) } : nil
        return try denoising.run(noise: &noise, count: geometry.latentCount, given: given) { step, latents in
            let expert = denoising.experts[step]
            if context?.expert != expert {
                context = nil  // the other expert may have to go before this one fits
                let stage = step == 0 ? GenerationStage.load : .swap
                let transformer = try loadTransformer(networks.file(expert), stage: stage)
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
                    attention: request.attentionKind, workspace: space, window: window, repeats: window == nil,
                    observesInside: false
                ) { stage, _ in
                    guard case .block(let layer) = stage else { return }
                    try self.tracker.reach((Double(step) + Double(layer + 1) / (layers + 1)) * share)
                }
            }
            tracker.finishStep()
            if window != nil, let streaming = backend as? any StreamingBackend {
                let waited = streaming.takeWaitingTime()
                transferSeconds += waited
                // The first pass of the second network waits for what the swap could not hide.
                if step > 0, denoising.experts[step - 1] != expert { tracker.move(waited, from: .step, to: .swap) }
            }
            steps.append(
                GenerationReport.Step(
                    timestep: denoising.schedule.roundedTimestep(step), expert: boundary == nil ? nil : expert,
                    file: networks.file(expert),
                    seconds: ProgressTracker.seconds(clock.now - start)))
            return velocity
        }
    }

    /// Where blocks pass through if they wait in host memory; all networks are read before the first step then.
    private func streamingWindow(
        _ denoising: Denoising, _ networks: ModelManifest.Networks
    ) throws -> TransformerWindow? {
        guard let size = memory.windowBlocks else { return nil }
        let passes = try denoising.experts.prefix(request.steps).map { try loadTransformer(networks.file($0)) }
        let needs = plan.needs
        let image = needs.isApart ? needs.networks.map(\.size.blockImage).max() ?? 0 : 0
        generator.resident.makeRoom(
            for: size * image + needs.stepWorkspace, limit: room, keeping: Set(networks.files.map { key($0, variant) }))
        return try TransformerWindow(passes: Array(passes), size: size)
    }

    private var variant: String { "\(request.linearPrecision.rawValue)/\(memory.place.rawValue)" }

    private func loadTransformer(_ file: String, stage: GenerationStage = .load) throws -> Transformer {
        let needs = plan.needs
        guard let size = needs.networks.first(where: { $0.file == file })?.size else {
            preconditionFailure("\(file) is no network of this job")
        }
        let isStreamed = memory.place == .host
        let key = key(file, variant)
        // One that is there already costs no time that would have to be told.
        let stage = generator.resident.contains(key) ? .load : stage
        let transformer = try load(
            file, variant: variant,
            expected: isStreamed ? size.fixed + (needs.isApart ? 0 : size.block) : size.total,
            workspace: isStreamed ? size.block + size.making : max(needs.stepWorkspace, size.making),
            host: isStreamed && needs.isApart ? size.blockCount * size.blockImage : 0, stage: stage
        ) {
            let weights = try plan.files.transformer(file, mode: request.mode)
            let transformer = try Transformer(
                weights, backend: backend, precision: request.linearPrecision, blocks: memory.place,
                onBlock: { _ in try self.tracker.check() })
            return (transformer, transformer.weightBytes, transformer.hostBytes)
        }
        linearPrecision = transformer.linearPrecision.rawValue
        return transformer
    }

    /// Decodes into the sink; returns the middle frame and the digest of all frames.
    func decode(_ latents: [Float], into sink: any FrameSink) throws -> (poster: RGBImage, digest: String) {
        let vae = try loadVAE(workspace: plan.needs.frameWorkspaces(pixels: memory.framePixels).decode)
        let (size, middle) = (request.size, request.frameCount / 2)
        let frameBytes = size.area * 3
        var film = self.film ?? FilmInProgress(sink: ThreadedFrameSink(sink))
        self.film = film
        var done = 0
        try tracker.during(.decode, completing: 1) {
            let decoder = try vae.makeDecoder(geometry, pixelBudget: memory.framePixels)
            try decoder.decodeBytes(latents) { frames, count in
                // Those that an attempt before has handed over are the same.
                let known = min(max(film.frames - done, 0), count)
                done += count
                guard known < count else { return }
                let fresh = known == 0 ? frames : Array(frames[(known * frameBytes)...])
                if (film.frames..<done).contains(middle) {
                    let start = (middle - film.frames) * frameBytes
                    film.poster = RGBImage(
                        width: size.width, height: size.height, pixels: Array(fresh[start..<start + frameBytes]))
                }
                try film.sink.append(fresh, count: count - known)
                film.frames = done
                self.film = film
                try tracker.reach(Double(done) / Double(request.frameCount))
            }
        }
        let digest = try tracker.during(.encode, completing: 1) { try film.sink.finish() }
        guard let poster = film.poster, done == request.frameCount else {
            preconditionFailure("\(done) frames decoded of \(request.frameCount)")
        }
        return (poster, digest)
    }
}
