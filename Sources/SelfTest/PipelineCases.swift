import Foundation
import Media
import Sampling
import Tensors
import Text
import Wan

/// `pipeline`: from prompt, picture and seed to frames.
enum PipelineCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        try section.eachCase(note) { record, _ in
            var run = try PipelineRun(section, record)
            return try run.compare()
        }
    }
}

/// One run, and the comparisons on its way.
private struct PipelineRun {
    let section: Section
    let record: Record
    let file: String
    let names: Set<String>
    let geometry: LatentGeometry
    let attention: AttentionKind
    let denoising: Denoising
    var measurements: [Measurement] = []

    init(_ section: Section, _ record: Record) throws {
        (self.section, self.record) = (section, record)
        file = try record["file"].string
        names = Set(try section.file(file).names)
        let latent = try record["latent"].ints
        guard latent.count == 3 else { throw CaseError("latent is no shape") }
        geometry = LatentGeometry(latentFrames: latent[0], latentHeight: latent[1], latentWidth: latent[2])
        attention = try TransformerCases.attention(record)
        guard let kind = SamplerKind(rawValue: try record["sampler"].string.lowercased()) else {
            throw CaseError("unknown sampler \(try record["sampler"].string)")
        }
        denoising = Denoising(
            schedule: try Schedule(steps: try record["num_steps"].int, sigmaMax: try record["sigma_max"].double),
            sampler: kind, boundary: try record.optional("boundary")?.double)
    }

    mutating func compare() throws -> [Measurement] {
        let tolerance = try record["tolerance"]
        let isF32 = section.computesInFloat32
        let stated = try tolerance.optional("latents_rel_l2_bf16")?.double
        let limit = isF32 ? try tolerance["latents_rel_l2_f32"].double : stated ?? 0.02
        try compareStatements()
        let text = try encodeText(limit)
        let vae = try record.optional("vae").map { try VAECases.load(section, $0.string, statistics()) }
        var condition: [Float]?
        if let vae { condition = try self.condition(vae: vae, limit) }
        let latents = try denoise(text: text, condition: condition, limit)
        measure("latents", latents, limit)
        if let gpu = record.optional("gpu_h100"), let stated {
            for name in try gpu["tensors"].strings where name.hasSuffix("latents") {
                let expected = try section.tensor(name, in: gpu["file"].string).floats()
                add(name, relativeL2(latents, expected), stated, "rel L2")
            }
        }
        if let vae { try decode(vae, latents, tolerance) }
        return measurements
    }

    private mutating func add(_ what: String, _ error: Double, _ limit: Double, _ measure: String) {
        measurements.append(Measurement(what: what, error: error, limit: limit, measure: measure))
    }

    /// Compares with the file's tensor of that name, if it keeps one.
    private mutating func measure(_ name: String, _ found: [Float], _ limit: Double) {
        guard names.contains(name), let expected = try? section.tensor(name, in: file).floats() else { return }
        add(name, relativeL2(found, expected), limit, "rel L2")
    }

    /// Timesteps and experts as the case lists them.
    private mutating func compareStatements() throws {
        let timesteps = (0..<denoising.schedule.stepCount).map { Double(denoising.schedule.roundedTimestep($0)) }
        add("net_timesteps", try record["net_timesteps"].doubles == timesteps ? 0 : 1, 0, "differing")
        if let experts = record.optional("experts") {
            let found = denoising.experts.map { $0 == .highNoise ? "high" : "low" }
            add("experts", try experts.strings == found ? 0 : 1, 0, "differing")
        }
    }

    /// What this case does not say about its text, another with the same prompt does.
    private func textRecord() throws -> Record {
        if record.has("tokenizer") { return record }
        let siblings = try section.root["cases"].array.filter { $0.has("tokenizer") && $0.has("umt5") }
        let prompt = try record["prompt"].string
        guard let sibling = try siblings.first(where: { try $0["prompt"].string == prompt }) ?? siblings.first else {
            throw CaseError("no case names a tokenizer")
        }
        return sibling
    }

    private mutating func encodeText(_ limit: Double) throws -> [Float] {
        let source = try textRecord()
        let tokenizer = try Tokenizer(section.url(source["tokenizer"].string).path)
        let tokens = tokenizer.encode(cleanPrompt(try record["prompt"].string))
        let ids = Array(tokens.ids.prefix(tokens.length))
        if names.contains("ids") {
            let expected = try section.tensor("ids", in: file).ints()
            add("ids", ids.map { Int($0) } == expected ? 0 : 1, 0, "differing")
        }
        let encoder = try TextEncoderCases.load(section, source["umt5"].string, source["umt5_config"])
        let rows = try encoder.encode(ids)
        measure("text_embedding", rows, limit)
        return rows
    }

    /// Where the latents' statistics stand: beside the VAE's weights, else Wan's own.
    private func statistics() throws -> Record {
        let folder = section.url(try record["vae"].string).deletingLastPathComponent()
        let cases = folder.appending(path: "cases.json")
        guard FileManager.default.fileExists(atPath: cases.path) else {
            return Record([:] as [String: Any], path: "vae")
        }
        return try Record(file: cases)
    }

    /// Mask and latents of the picture, for a network that takes one.
    private mutating func condition(vae: VAE, _ limit: Double) throws -> [Float]? {
        guard let path = record.optional("image") else { return nil }
        let image = try ImageDecoder.decode([UInt8](Data(contentsOf: section.url(path.string))), options: .upstream)
        let resized = Resizer.resize(image, width: geometry.size.width, height: geometry.size.height)
        let latents = try vae.makeEncoder(geometry).encode(resized.normalized())
        let condition = imageCondition(latents: latents, geometry: geometry)
        // The picture went through the VAE, which loses more in bf16 than the network does.
        let stated = section.computesInFloat32 ? nil : try record["tolerance"].optional("y_rel_l2_bf16")?.double
        measure("y", condition, stated ?? limit)
        return condition
    }

    private func load(_ key: String) throws -> Transformer {
        try TransformerCases.load(section, record, weights: key)
    }

    private mutating func denoise(text: [Float], condition: [Float]?, _ limit: Double) throws -> [Float] {
        var networks: [Expert: Transformer] = [:]
        if record.has("dit") {
            networks[.highNoise] = try load("dit")
        } else {
            networks = [.highNoise: try load("dit_high"), .lowNoise: try load("dit_low")]
        }
        guard let any = networks[.highNoise] else { throw CaseError("no network") }
        let textDim = any.configuration.textDim
        let contexts = try networks.mapValues { try $0.prepare(TextConditioning(rows: text, textDim: textDim)) }
        let workspace = try any.makeWorkspace(geometry)
        if let condition { any.setCondition(condition, in: workspace) }
        var noise = CUDANoise(seed: try record["seed"].unsigned)
        var steps: [Denoising.Step] = []
        var first: [Float] = []
        let denoising = denoising
        let attention = attention
        var initial = noise
        first = initial.draw(geometry.latentCount)
        let latents = try denoising.run(noise: &noise, count: geometry.latentCount) { step, latents in
            guard let network = networks[denoising.experts[step]], let context = contexts[denoising.experts[step]]
            else {
                throw CaseError("no network for \(denoising.experts[step])")
            }
            return try network.velocity(
                latents: latents, timestep: denoising.schedule.roundedTimestep(step), text: context,
                attention: attention, workspace: workspace)
        } observe: {
            steps.append($0)
        }
        measure("init_noise", first, limit)
        for step in steps {
            if denoising.sampler == .sde { measure("noise\(step.index)", step.noise, limit) }
            measure("v\(step.index)", step.velocity, limit)
            measure("x\(step.index + 1)", step.state.map { Float($0) }, limit)
        }
        return latents
    }

    private mutating func decode(_ vae: VAE, _ latents: [Float], _ tolerance: Record) throws {
        let decoder = try vae.makeDecoder(geometry)
        var (rows, bytes): ([Float], [UInt8]) = ([], [])
        let backend = section.backend
        try decoder.decode(latents) { frames in
            rows += backend.download(frames)
            let quantized = try backend.allocate(frames.shape, .u8)
            backend.quantizeFrames(frames, into: quantized)
            bytes += backend.downloadBytes(quantized)
        }
        if section.computesInFloat32 {
            measure("video", VAECases.channelsFirst(rows, channels: 3), try tolerance["video_rel_l2_f32"].double)
        }
        guard names.contains("frames") else { return }
        let expected = try section.tensor("frames", in: file)
        if section.computesInFloat32 {
            add(
                "frames", maximumDifference(bytes.map(Float.init), expected.floats()),
                try tolerance["uint8_max_abs"].double, "max abs")
        } else {
            // A ratio that must be large: its distance below the stated one.
            let ratio = peakSignalToNoise(bytes, expected.bytes.map { $0 })
            add("frames PSNR short of the stated", max(0, try tolerance["frames_psnr_db_bf16"].double - ratio), 0, "dB")
        }
    }
}
