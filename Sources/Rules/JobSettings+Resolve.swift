extension JobSettings {
    /// The effective settings of a job in one mode, checked against what the chosen model can do.
    ///
    /// The prompt is the layer's first one, or empty; `JobExpansion` fills in prompts and seeds job by job.
    /// - Throws: every value the model cannot do. Nothing is rounded or clamped.
    public static func resolve(
        _ layer: SettingLayer, mode: GenerationMode, models: ModelCatalogue
    ) throws(RuleProblems) -> JobSettings {
        let (model, origin) = try chooseModel(layer, mode: mode, models: models)
        var resolver = Resolver(layer: layer, model: model, mode: mode)
        let settings = resolver.settings(modelOrigin: origin)
        if let problems = RuleProblems(resolver.problems) { throw problems }
        return settings
    }

    private static func chooseModel(
        _ layer: SettingLayer, mode: GenerationMode, models: ModelCatalogue
    ) throws(RuleProblems) -> (ModelLimits, Origin) {
        guard let given = layer[.model], case .text(let name) = given.value else {
            guard let model = models.defaultModel(for: mode) else {
                throw RuleProblems(
                    RuleProblem(
                        source: "models", code: .modelUnsuited, message: "no model for \(mode.words) is installed",
                        hint: "Ask whoever runs the service to add one (dropreel models list shows what is there)."))
            }
            return (model, .standard)
        }
        let found = models.lookup(name)
        if let model = found.first(where: { $0.modes.contains(mode) }) { return (model, given.origin) }
        let suited = models.models.filter { $0.modes.contains(mode) }.map(\.name)
        let choice = suited.isEmpty ? "none is installed" : "use \(suited.joined(separator: ", "))"
        if found.isEmpty {
            let close = Suggestion.closest(to: name, among: models.models.flatMap { [$0.name] + $0.aliases })
            let question = close.map { "; did you mean \($0)?" } ?? ""
            throw RuleProblems(
                RuleProblem(
                    source: given.source, line: given.line, code: .unknownModel,
                    message: "model: \(StatementReader.shown(name)) is not installed\(question)",
                    hint: "For \(mode.words) \(choice)."))
        }
        throw RuleProblems(
            RuleProblem(
                source: given.source, line: given.line, code: .modelUnsuited,
                message: "model: \(found[0].name) does not make \(mode.words)",
                hint: "For \(mode.words) \(choice), or delete the line to take the default."))
    }
}

/// Reads one layer against one model, collecting what does not fit.
private struct Resolver {
    let layer: SettingLayer
    let model: ModelLimits
    let mode: GenerationMode
    var problems: [RuleProblem] = []

    mutating func settings(modelOrigin: Origin) -> JobSettings {
        let ofModel = Origin.model(model.name)
        let defaults = model.defaults[mode] ?? ModelLimits.Defaults()
        let resolution = text(.resolution, or: model.defaultResolution, ofModel)
        let aspectRatio = text(.aspectRatio, or: model.defaultAspectRatio, ofModel)
        let pixels = PixelSize(parsing: resolution.value)
        let ownShape = layer[.aspectRatio] == nil && pixels == nil
        let sampler = defaults.sampler.map { ($0, ofModel) } ?? (.sde, .standard)
        let sigmaMax =
            defaults.sigmaMax.map { ($0, ofModel) } ?? (mode == .textToVideo ? 80 : 200, Origin.standard)
        let boundary = defaults.boundary.map { ($0, ofModel) } ?? (0.9, .standard)
        let exactFirstFrame = defaults.exactFirstFrame.map { ($0, ofModel) } ?? (false, .standard)
        let frames = self.frames(ofModel)
        let isOther =
            frames.value < model.defaultFrames || aspectRatio.value != model.defaultAspectRatio || pixels != nil
        let ofOther = isOther ? defaults.slaTopKOfOtherFilms : nil
        return JobSettings(
            mode: mode,
            model: Setting(model.name, modelOrigin),
            resolution: resolution,
            aspectRatio: aspectRatio,
            adaptiveResolution: boolean(.adaptiveResolution, or: ownShape, .standard),
            steps: integer(.steps, or: 4, .standard),
            seed: seed(),
            frames: frames,
            fps: integer(.fps, or: model.defaultFPS, ofModel),
            prompt: Setting(layer.prompts?.first ?? "", layer[.prompt]?.origin ?? .standard),
            promptPrefix: text(.promptPrefix, or: "", .standard),
            promptSuffix: text(.promptSuffix, or: "", .standard),
            sampler: choice(.sampler, or: sampler.0, sampler.1),
            boundary: number(.boundary, or: boundary.0, boundary.1),
            exactFirstFrame: boolean(.exactFirstFrame, or: exactFirstFrame.0, exactFirstFrame.1),
            sigmaMax: number(.sigmaMax, or: sigmaMax.0, sigmaMax.1),
            attention: attention(or: defaults.attention ?? model.defaultAttention, ofModel),
            slaTopK: number(.slaTopK, or: ofOther ?? defaults.slaTopK ?? model.defaultSlaTopK, ofModel),
            quantLinear: quantLinear(ofModel),
            variations: integer(.variations, or: 1, .standard),
            priority: integer(.priority, or: 0, .standard),
            crf: integer(.crf, or: 18, .standard),
            outputName: text(.outputName, or: "", .standard),
            contactSheet: boolean(.contactSheet, or: true, .standard),
            visibleLabel: text(.visibleLabel, or: "", .standard),
            after: choice(.after, or: .move, .standard),
            size: size(resolution, aspectRatio, pixels))
    }

    private func integer(_ name: SettingName, or standard: Int, _ origin: Origin) -> Setting<Int> {
        if let given = layer[name], case .integer(let value) = given.value { return Setting(value, given.origin) }
        return Setting(standard, origin)
    }

    private func number(_ name: SettingName, or standard: Double, _ origin: Origin) -> Setting<Double> {
        if let given = layer[name], case .number(let value) = given.value { return Setting(value, given.origin) }
        return Setting(standard, origin)
    }

    private func boolean(_ name: SettingName, or standard: Bool, _ origin: Origin) -> Setting<Bool> {
        if let given = layer[name], case .boolean(let value) = given.value { return Setting(value, given.origin) }
        return Setting(standard, origin)
    }

    private func text(_ name: SettingName, or standard: String, _ origin: Origin) -> Setting<String> {
        if let given = layer[name], case .text(let value) = given.value { return Setting(value, given.origin) }
        return Setting(standard, origin)
    }

    private func choice<Word: RawRepresentable<String> & Hashable & Sendable & Codable>(
        _ name: SettingName, or standard: Word, _ origin: Origin
    ) -> Setting<Word> {
        if let given = layer[name], case .text(let word) = given.value, let value = Word(rawValue: word) {
            return Setting(value, given.origin)
        }
        return Setting(standard, origin)
    }

    private func seed() -> Setting<SeedChoice> {
        guard let given = layer[.seed] else { return Setting(.fixed(0), .standard) }
        switch given.value {
        case .seed(let seed): return Setting(seed, given.origin)
        case .seeds(let numbers): return Setting(.fixed(numbers.first ?? 0), given.origin)
        default: return Setting(.fixed(0), .standard)
        }
    }

    private mutating func frames(_ ofModel: Origin) -> Setting<Int> {
        let frames = integer(.frames, or: model.defaultFrames, ofModel)
        if !model.frameRange.contains(frames.value) {
            refuse(
                .frames, "frames: \(frames.value) is not legal for \(model.name)",
                hint: "It makes \(model.frameRange.lowerBound) to \(model.frameRange.upperBound) frames (4n+1).")
        }
        return frames
    }

    private mutating func attention(or standard: AttentionKind, _ ofModel: Origin) -> Setting<AttentionKind> {
        let kind = choice(.attention, or: standard, ofModel)
        if !model.attentionKinds.contains(kind.value) {
            let offered = model.attentionKinds.map(\.rawValue).joined(separator: ", ")
            refuse(
                .attention, "attention: \(model.name) has no \(kind.value.rawValue)",
                hint: "Write one of: \(offered); or delete the line.")
        }
        return kind
    }

    private mutating func quantLinear(_ ofModel: Origin) -> Setting<Bool> {
        let choice = boolean(.quantLinear, or: model.defaultQuantLinear, ofModel)
        if choice.value, !model.quantLinearAvailable {
            refuse(
                .quantLinear, "quant_linear: \(model.name) cannot run its linear layers in int8",
                hint: "Write quant_linear = no, or delete the line.")
        }
        return choice
    }

    private mutating func size(
        _ resolution: Setting<String>, _ aspectRatio: Setting<String>, _ pixels: PixelSize?
    ) -> PixelSize {
        if let pixels {
            checkSize(pixels)
            return pixels
        }
        let names = model.resolutions.keys.sorted { ($0.count, $0) < ($1.count, $1) }
        guard let shapes = model.resolutions[resolution.value] else {
            let close = Suggestion.closest(to: resolution.value, among: names)
            let question = close.map { "; did you mean \($0)?" } ?? ""
            refuse(
                .resolution, "resolution: \(model.name) has no \(resolution.value)\(question)",
                hint: "Write one of: \(names.joined(separator: ", ")); or a size such as \(example).")
            return PixelSize(width: 0, height: 0)
        }
        guard let size = shapes[aspectRatio.value] else {
            let offered = shapes.keys.sorted().joined(separator: ", ")
            refuse(
                .aspectRatio, "aspect_ratio: \(aspectRatio.value) is not legal at \(resolution.value)",
                hint: "Write one of: \(offered); or give resolution as a size such as \(example).")
            return PixelSize(width: 0, height: 0)
        }
        return size
    }

    private var example: String {
        model.resolutions[model.defaultResolution]?[model.defaultAspectRatio]?.description ?? "640x368"
    }

    private mutating func checkSize(_ size: PixelSize) {
        let unit = model.sideMultiple
        guard model.sideRange.contains(size.width), model.sideRange.contains(size.height) else {
            refuse(
                .resolution, "resolution: \(size) is not legal for \(model.name)",
                hint: "Each side has \(model.sideRange.lowerBound) to \(model.sideRange.upperBound) pixels.")
            return
        }
        guard size.width % unit == 0, size.height % unit == 0 else {
            let below = PixelSize(width: size.width / unit * unit, height: size.height / unit * unit)
            let above = PixelSize(
                width: (size.width + unit - 1) / unit * unit, height: (size.height + unit - 1) / unit * unit)
            refuse(
                .resolution, "resolution: \(size): both sides must be multiples of \(unit)",
                hint: "The nearest sizes are \(below) and \(above).")
            return
        }
        if size.width * size.height > model.maximumPixels {
            refuse(
                .resolution, "resolution: \(size) is too large for \(model.name)",
                hint: "Width times height may be at most \(model.maximumPixels).")
        }
    }

    private mutating func refuse(_ name: SettingName, _ message: String, hint: String) {
        let given = layer[name]
        problems.append(
            RuleProblem(
                source: given?.source ?? model.name, line: given?.line, code: .illegalValue, message: message,
                hint: hint))
    }
}

extension PixelSize {
    /// From the normalised form "640x368"; nil for names.
    init?(parsing text: String) {
        let parts = text.split(separator: "x", omittingEmptySubsequences: false)
        guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]) else { return nil }
        self.init(width: width, height: height)
    }
}
