import Checkpoints
import Sampling
import Tensors
import Wan

/// `dit` and `dit_sla`: forward passes, their intermediates and the blocks sparse attention chose.
enum TransformerCases {
    static func run(_ section: Section, _ note: (SelfTest.Line) -> Void) throws {
        try section.eachCase(note) { record, name in
            let transformer = try load(section, record)
            let attention = try attention(record)
            let file = try record["file"].string
            let tolerance = try section.tolerance(record)
            let latents = try section.tensor("x", in: file)
            guard latents.shape.count == 5 else { throw CaseError("\(file): x has shape \(latents.shape)") }
            let expected = try section.tensor("expected", in: file)
            var found: [Float] = []
            var measurements: [Measurement] = []
            for item in 0..<latents.shape[0] {
                let pass = try Pass(section, transformer, file: file, item: item)
                let chosen = try chosenBlocks(section, record, transformer, attention, pass.geometry)
                let intermediates = item == 0 ? record.optional("intermediates") : nil
                let probe = try intermediates.map {
                    try TransformerProbe(section, transformer, section.fileName($0), pass, tolerance)
                }
                found += try transformer.velocity(
                    latents: pass.latents, timestep: pass.timestep, text: pass.text, attention: attention,
                    workspace: pass.workspace, chosenBlocks: chosen, observe: probe?.observe)
                if let probe { measurements += try probe.finish() }
                measurements += try compareBlocks(section, record, file, chosen, item: item)
            }
            measurements.append(
                Measurement(
                    what: "velocity", error: relativeL2(found, expected.floats()), limit: tolerance, measure: "rel L2"))
            return measurements + (try section.gpuMeasurements(record, found: found))
        }
    }

    /// The inputs of one item of a batch.
    struct Pass {
        let latents: [Float]
        let timestep: Float
        let text: TextContext
        let geometry: LatentGeometry
        let workspace: TransformerWorkspace

        init(_ section: Section, _ transformer: Transformer, file: String, item: Int) throws {
            let x = try section.tensor("x", in: file)
            latents = x.floats(item: item)
            timestep = try section.tensor("t", in: file).floats()[item]
            geometry = LatentGeometry(latentFrames: x.shape[2], latentHeight: x.shape[3], latentWidth: x.shape[4])
            let rows = try section.tensor("crossattn_emb", in: file)
            text = try transformer.prepare(
                TextConditioning(rows: rows.floats(item: item), textDim: transformer.configuration.textDim))
            workspace = try transformer.makeWorkspace(geometry)
            if transformer.configuration.takesImage {
                transformer.setCondition(try section.tensor("y", in: file).floats(item: item), in: workspace)
            }
        }
    }

    /// The network a case names, checked against the sizes it states.
    static func load(_ section: Section, _ record: Record, weights key: String = "weights") throws -> Transformer {
        let path = try record[key].string
        let checkpoint = try canonicalTransformer(section.file(path))
        var tensors = checkpoint.tensors
        if let extra = record.optional("extra_weights") {
            let file = try section.file(extra.string)
            for name in file.names { tensors[name] = file.tensor(name) }
        }
        let configuration = try configuration(record.optional("config") ?? record["dit_config"], checkpoint.layout)
        return try Transformer(
            WeightReader(tensors, backend: section.backend, source: path), configuration: configuration)
    }

    static func configuration(_ record: Record, _ layout: TransformerLayout) throws -> TransformerConfiguration {
        var configuration = TransformerConfiguration(layout)
        configuration.epsilon = Float(try record["eps"].double)
        configuration.textLength = try record["text_len"].int
        let stated = [
            ("in_dim", configuration.inputChannels), ("out_dim", configuration.outputChannels),
            ("dim", configuration.dim), ("num_heads", configuration.headCount),
            ("ffn_dim", configuration.feedForwardDim), ("num_layers", configuration.layerCount),
            ("text_dim", configuration.textDim), ("freq_dim", configuration.frequencyDim),
        ]
        for (key, size) in stated where try record[key].int != size {
            throw CaseError("\(key) is \(try record[key].int) in the case and \(size) in the weights")
        }
        guard try record["patch_size"].ints == [1, 2, 2] else { throw CaseError("patches other than 1x2x2") }
        return configuration
    }

    static func attention(_ record: Record) throws -> AttentionKind {
        guard let sla = record.optional("sla") else { return .dense }
        return .sparseLinear(
            SparseAttentionOptions(
                topK: try sla["topk"].double, queryBlock: try sla["BLKQ"].int, keyBlock: try sla["BLKK"].int))
    }

    /// Room for what every layer chooses, where the case states it.
    private static func chosenBlocks(
        _ section: Section, _ record: Record, _ transformer: Transformer, _ attention: AttentionKind,
        _ geometry: LatentGeometry
    ) throws -> [Tensor]? {
        guard case .sparseLinear(let options) = attention else { return nil }
        let tokens = geometry.tokenCount
        let keyBlocks = (tokens + options.keyBlock - 1) / options.keyBlock
        let queryBlocks = (tokens + options.queryBlock - 1) / options.queryBlock
        let selected = options.selectedBlocks(of: keyBlocks)
        if let stated = try record["sla"].optional("key_blocks")?.int, stated != keyBlocks {
            throw CaseError("\(stated) key blocks stated, \(keyBlocks) found")
        }
        if let stated = try record["sla"].optional("selected")?.int, max(1, stated) != selected {
            throw CaseError("\(stated) selected blocks stated, \(selected) found")
        }
        return try (0..<transformer.configuration.layerCount).map { _ in
            try section.backend.allocate([transformer.configuration.headCount, queryBlocks, selected], .i32)
        }
    }

    private static func compareBlocks(
        _ section: Section, _ record: Record, _ file: String, _ chosen: [Tensor]?, item: Int
    ) throws -> [Measurement] {
        let prefix = "block_index_layer"
        let names = try section.file(file).names.filter { $0.hasPrefix(prefix) }.sorted()
        // In bf16 a near tie may fall the other way; the output's tolerance allows for that.
        guard !names.isEmpty, section.computesInFloat32 else { return [] }
        guard let chosen else { throw CaseError("\(file) states chosen blocks, the case no sparse attention") }
        return try names.map { name in
            guard let layer = Int(name.dropFirst(prefix.count)), chosen.indices.contains(layer) else {
                throw CaseError("\(file): \(name) names no layer")
            }
            let expected = try section.tensor(name, in: file)
            let found = section.backend.download(chosen[layer])
            let wrong =
                found.count * expected.shape[0] == expected.elementCount
                ? zip(found, expected.floats(item: item)).count { $0 != $1 } : expected.elementCount
            return Measurement(what: name, error: Double(wrong), limit: 0, measure: "differing")
        }
    }
}
