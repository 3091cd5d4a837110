@testable import Rules

/// Two made-up models, one for each kind of job, and a shared family name.
enum Fixture {
    /// The sizes of the large models: 480p and 720p in five aspect ratios.
    /// Source: TurboDiffusion `VIDEO_RES_SIZE_INFO`.
    static let resolutions: [String: [String: PixelSize]] = [
        "480p": [
            "16:9": PixelSize(width: 832, height: 480), "9:16": PixelSize(width: 480, height: 832),
            "4:3": PixelSize(width: 640, height: 480), "3:4": PixelSize(width: 480, height: 640),
            "1:1": PixelSize(width: 640, height: 640),
        ],
        "720p": [
            "16:9": PixelSize(width: 1280, height: 720), "9:16": PixelSize(width: 720, height: 1280),
            "4:3": PixelSize(width: 960, height: 720), "3:4": PixelSize(width: 720, height: 960),
            "1:1": PixelSize(width: 960, height: 960),
        ],
    ]

    static let text = ModelLimits(
        name: "Wan2.1-1.3B", aliases: ["Wan"], modes: [.textToVideo], resolutions: resolutions,
        defaultResolution: "480p", defaults: [.textToVideo: .init(sampler: .sde, sigmaMax: 80)])

    static let image = ModelLimits(
        name: "Wan2.2-A14B", aliases: ["Wan"], modes: [.imageToVideo], resolutions: resolutions,
        defaultResolution: "720p", quantLinearAvailable: false,
        defaults: [.imageToVideo: .init(sampler: .ode, sigmaMax: 200)])

    static let small = ModelLimits(
        name: "Mini", modes: [.textToVideo, .imageToVideo],
        resolutions: ["144p": ["16:9": PixelSize(width: 256, height: 144), "1:1": PixelSize(width: 192, height: 192)]],
        defaultResolution: "144p", sideRange: 64...512, maximumPixels: 256 * 256, frameRange: 5...81,
        attentionKinds: [.original, .sla], defaultAttention: .sla)

    static let models = ModelCatalogue(models: [text, image])
    static let all = ModelCatalogue(models: [text, image, small])

    static func layer(_ text: String, source: String = "rules/a.toml") throws(RuleProblems) -> SettingLayer {
        try layer(bytes: Array(text.utf8), source: source)
    }

    static func layer(bytes: [UInt8], source: String = "rules/a.toml") throws(RuleProblems) -> SettingLayer {
        let lines: [[Unicode.Scalar]]
        do {
            lines = try SourceText(bytes, source: source).lines
        } catch {
            throw RuleProblems(error)
        }
        return try SettingReader.read(source: source, lines: lines)
    }

    /// The located messages of everything wrong with a rule; empty when it is sound.
    static func messages(_ text: String) -> [String] {
        problems(text).map(\.located)
    }

    static func problems(_ text: String) -> [RuleProblem] {
        problems(bytes: Array(text.utf8))
    }

    static func problems(bytes: [UInt8]) -> [RuleProblem] {
        do {
            _ = try layer(bytes: bytes)
            return []
        } catch {
            return error.all
        }
    }

    static func value(_ text: String, _ name: SettingName) throws -> SettingValue? {
        try layer(text)[name]?.value
    }

    static func utf16(_ text: String, bigEndian: Bool) -> [UInt8] {
        var bytes: [UInt8] = bigEndian ? [0xFE, 0xFF] : [0xFF, 0xFE]
        for unit in text.utf16 {
            let pair = [UInt8(unit >> 8), UInt8(unit & 255)]
            bytes += bigEndian ? pair : pair.reversed()
        }
        return bytes
    }

    static func jobs(
        _ rule: String, prompts: String? = nil, isList: Bool = false, mode: GenerationMode = .textToVideo,
        models: ModelCatalogue = Fixture.all
    ) throws -> [JobSettings] {
        let file = try prompts.map {
            try PromptFile.read(Array($0.utf8), source: isList ? "cat.prompts" : "cat.prompt", isList: isList)
        }
        return try JobExpansion.jobs(folder: try layer(rule), promptFile: file, mode: mode, models: models)
    }
}
