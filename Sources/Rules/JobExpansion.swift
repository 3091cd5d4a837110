/// From settings and prompts to jobs: one for each prompt, seed or variation, never their product.
public enum JobExpansion {
    /// Most jobs that one drop may make.
    public static let maximumJobs = 1000

    /// - Parameters:
    ///   - folder: the effective rule of the folder.
    ///   - promptFile: what lies beside the image, or alone; nil takes the folder's `prompt`.
    ///   - mode: image to video when an image was dropped.
    /// - Returns: at least one job, in the order of prompts or seeds. Seeds may still be `random`.
    /// - Throws: every problem found; values are never changed to fit.
    public static func jobs(
        folder: SettingLayer, promptFile: PromptFile?, mode: GenerationMode, models: ModelCatalogue
    ) throws(RuleProblems) -> [JobSettings] {
        var layer = folder
        if let promptFile {
            layer = folder.overlaid(by: promptFile.head)
            layer[.prompt] = nil
        }
        let resolved = try JobSettings.resolve(layer, mode: mode, models: models)
        let prompts = try prompts(layer: layer, promptFile: promptFile)
        let seeds = seeds(layer: layer)
        return try combine(resolved, prompts: prompts, seeds: seeds)
    }
}

extension JobExpansion {
    private struct Prompt {
        var text: String
        var origin: Origin
    }

    private static func prompts(
        layer: SettingLayer, promptFile: PromptFile?
    ) throws(RuleProblems) -> [Prompt] {
        if let promptFile {
            return promptFile.prompts.map { Prompt(text: $0.text, origin: .file(promptFile.source, line: $0.line)) }
        }
        guard let given = layer[.prompt], let texts = layer.prompts else {
            throw RuleProblems(
                RuleProblem(
                    source: "prompt", code: .missing, message: "there is no prompt",
                    hint: "Put a .prompt file with the same name beside the image, or set prompt in the folder's rule.")
            )
        }
        return texts.map { Prompt(text: $0, origin: given.origin) }
    }

    private static func seeds(layer: SettingLayer) -> [UInt64]? {
        if case .seeds(let numbers) = layer[.seed]?.value { numbers } else { nil }
    }

    private static func combine(
        _ base: JobSettings, prompts: [Prompt], seeds: [UInt64]?
    ) throws(RuleProblems) -> [JobSettings] {
        let variations = base.variations.value
        if let seeds, variations > 1, variations != seeds.count {
            throw conflict(
                base, "\(seeds.count) seeds and variations = \(variations) do not go together",
                hint: "Delete variations, or give as many seeds as variations.")
        }
        if prompts.count > 1, let seeds, seeds.count != prompts.count {
            throw conflict(
                base, "\(prompts.count) prompts and \(seeds.count) seeds do not pair up",
                hint: "Give one seed, or as many seeds as prompts; every prompt with every seed is never made.")
        }
        if prompts.count > 1, variations > 1 {
            throw conflict(
                base, "\(prompts.count) prompts and variations = \(variations) would make a film for each combination",
                hint: "Use one of the two: several prompts with variations = 1, or one prompt with variations.")
        }
        let count = max(prompts.count, seeds?.count ?? variations)
        guard count <= maximumJobs else {
            throw conflict(
                base, "\(count) jobs from one drop, more than \(maximumJobs)",
                hint: "Split the list over several files.")
        }
        var jobs: [JobSettings] = []
        jobs.reserveCapacity(count)
        for index in 0..<count {
            var job = base
            let prompt = prompts.count == 1 ? prompts[0] : prompts[index]
            job.prompt = Setting(prompt.text, prompt.origin)
            if let seeds {
                job.seed.value = .fixed(seeds[index])
            } else if variations > 1, case .fixed(let first) = base.seed.value {
                // Counting up wraps at the largest legal seed.
                job.seed.value = .fixed((first + UInt64(index)) & SettingDefinition.maximumSeed)
            }
            jobs.append(job)
        }
        return jobs
    }

    private static func conflict(_ base: JobSettings, _ message: String, hint: String) -> RuleProblems {
        let origin = base.variations.value > 1 ? base.variations.origin : base.seed.origin
        return RuleProblems(
            RuleProblem(source: origin.description, code: .conflict, message: message, hint: hint))
    }
}
