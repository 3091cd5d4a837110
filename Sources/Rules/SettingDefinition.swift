/// Everything there is to know about one setting. The reader, its suggestions, `explain`, the commented example files
/// and `--json` all read this one table.
public struct SettingDefinition: Hashable, Sendable {
    /// The shape of a legal value.
    public enum Kind: Hashable, Sendable {
        /// The name of a model.
        case modelName
        /// A resolution's name or "640x368".
        case resolution
        /// "16:9" or "16x9".
        case aspectRatio
        /// yes/no, on/off, true/false, 1/0.
        case boolean
        case integer(ClosedRange<Int>)
        /// An integer of the form 4n+1; the model sets the range.
        case frameCount(ClosedRange<Int>)
        /// Above 0 where the range starts at 0 and `aboveLowerBound` is set.
        case number(ClosedRange<Double>, aboveLowerBound: Bool)
        case choice([String])
        /// Free text without line breaks.
        case text
        /// Free text or a list of such.
        case prompts
        /// A number, "random", or a list of numbers.
        case seed
        /// yes, no, or the words themselves.
        case label
    }

    public let name: SettingName
    public let kind: Kind
    /// Legal values in words.
    public let legal: String
    /// What holds when nobody sets it.
    public let standard: String
    /// What it does, one or two sentences.
    public let summary: String
    /// A line as it may stand in a rule file.
    public let example: String

    /// Whether an unquoted value may hold `#`, `;` and commas.
    var isFreeText: Bool {
        switch kind {
        case .text, .prompts, .label: true
        default: false
        }
    }

    /// The definition of one setting.
    public static func of(_ name: SettingName) -> SettingDefinition {
        byName[name]!
    }

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    private init(
        _ name: SettingName, _ kind: Kind, legal: String, standard: String, example: String, _ summary: String
    ) {
        self.name = name
        self.kind = kind
        self.legal = legal
        self.standard = standard
        self.summary = summary
        self.example = example
    }

    /// Largest legal seed: what every reader of the JSON logs, and a signed database column, can hold.
    public static let maximumSeed = UInt64(Int64.max)
    /// What `visible_label = yes` writes.
    public static let standardLabel = "AI-generated"
    /// Longest visible label, in characters.
    public static let maximumLabelCount = 40
    /// What a visible label may hold besides letters and digits of ASCII.
    public static let labelMarks = " .,:;!?-+/()'&#%*=_@\""
    /// Longest text of one setting, in bytes of UTF-8.
    public static let maximumTextBytes = 16 * 1024
    /// Most entries of one list.
    public static let maximumListCount = 1000

    /// The table.
    public static let all: [SettingDefinition] = [
        .init(
            .model, .modelName, legal: "the name of an installed model",
            standard: "the first model for the kind of job",
            example: "model = \"Wan2.1-1.3B\"",
            "Which model makes the clip. `dropreel models list` names the installed ones."),
        .init(
            .resolution, .resolution, legal: "a name the model offers (480p, 720p, ...) or a size such as 640x368",
            standard: "the model's", example: "resolution = 480p",
            "How large the clip is. A size in pixels takes the place of name and aspect ratio."),
        .init(
            .aspectRatio, .aspectRatio, legal: "16:9, 9:16, 4:3, 3:4 or 1:1 (16x9 is understood)", standard: "16:9",
            example: "aspect_ratio = 16:9", "The shape of the clip."),
        .init(
            .adaptiveResolution, .boolean, legal: "yes or no",
            standard: "yes, unless aspect_ratio or a size in pixels is set", example: "adaptive_resolution = yes",
            "An image keeps its own shape; resolution and aspect_ratio then only say how many pixels it gets."),
        .init(
            .steps, .integer(1...4), legal: "1 to 4", standard: "4", example: "steps = 4",
            "Sampling steps. Fewer are faster; the models are distilled for at most 4 and gain nothing from more."),
        .init(
            .seed, .seed, legal: "a whole number from 0, \"random\", or a list of numbers", standard: "0",
            example: "seed = 42",
            "Where the noise starts; the same seed gives the same film. A list makes one film for each number."),
        .init(
            .frames, .frameCount(1...100_001), legal: "4n+1 (33, 37, ... 81 ...) within the model's range",
            standard: "the model's (81 for the large ones)", example: "frames = 81", "Length of the clip in frames."),
        .init(
            .fps, .integer(1...60), legal: "1 to 60", standard: "the model's (16)", example: "fps = 16",
            "Frames per second of the film; changes its pace, not its frames."),
        .init(
            .prompt, .prompts, legal: "text or a list of texts", standard: "none",
            example: "prompt = \"a paper boat on a lake\"",
            "What images without a prompt of their own are animated with. A list makes one film for each text."),
        .init(
            .promptPrefix, .text, legal: "text", standard: "empty", example: "prompt_prefix = \"cinematic,\"",
            "Put in front of every prompt of the folder."),
        .init(
            .promptSuffix, .text, legal: "text", standard: "empty", example: "prompt_suffix = \"soft light\"",
            "Put behind every prompt of the folder."),
        .init(
            .sampler, .choice(Sampler.allCases.map(\.rawValue)), legal: "ode or sde", standard: "the model's (sde)",
            example: "sampler = sde", "ode is sharper for images, sde adds fresh noise at every step."),
        .init(
            .boundary, .number(0...1, aboveLowerBound: false), legal: "0 to 1", standard: "0.9",
            example: "boundary = 0.9", "Timestep below which the low-noise expert takes over (models with two experts)."
        ),
        .init(
            .exactFirstFrame, .boolean, legal: "yes or no", standard: "the model's (no)",
            example: "exact_first_frame = yes",
            "An image's film begins with the image itself, not with the network's painting of it."),
        .init(
            .sigmaMax, .number(15...10_000, aboveLowerBound: false), legal: "15 to 10000",
            standard: "80 for text to video, 200 for image to video", example: "sigma_max = 80",
            "How noisy sampling starts. Below 15 the timesteps would not fall from step to step."),
        .init(
            .attention, .choice(AttentionKind.allCases.map(\.rawValue)), legal: "original, sla or sagesla",
            standard: "the model's (sagesla)", example: "attention = sla",
            "original looks at everything; sla and sagesla at the part that matters, which is faster."),
        .init(
            .slaTopK, .number(0...1, aboveLowerBound: true), legal: "above 0, at most 1", standard: "the model's (0.1)",
            example: "sla_topk = 0.1", "Share of blocks that sparse attention looks at; 0.15 for more quality."),
        .init(
            .quantLinear, .boolean, legal: "yes or no", standard: "the model's", example: "quant_linear = no",
            "Linear layers in int8: less memory, slightly different pictures."),
        .init(
            .variations, .integer(1...100), legal: "1 to 100", standard: "1", example: "variations = 5",
            "How many films one drop makes, each with its own seed (counted up from a fixed one)."),
        .init(
            .priority, .integer(-100...100), legal: "-100 to 100", standard: "0", example: "priority = 10",
            "Jobs with a higher number go first."),
        .init(
            .crf, .integer(1...51), legal: "1 to 51", standard: "18", example: "crf = 18",
            "Compression of the film: lower is finer and larger."),
        .init(
            .outputName, .text, legal: "text; {stem} stands for the input's name", standard: "{stem}",
            example: "output_name = \"draft {stem}\"", "What the names of the results begin with."),
        .init(
            .contactSheet, .boolean, legal: "yes or no", standard: "yes", example: "contact_sheet = no",
            "Whether a picture of nine frames is put beside each film."),
        .init(
            .visibleLabel, .label,
            legal: "no, yes (AI-generated), or up to 40 letters, digits and marks such as . , - ( )",
            standard: "no", example: "visible_label = \"AI-generated\"",
            "Words written into the first two seconds of the film, for everybody to see."),
        .init(
            .after, .choice(AfterJob.allCases.map(\.rawValue)), legal: "move, keep or delete", standard: "move",
            example: "after = move",
            "What happens to an input when its film is done: into _done, left alone, or deleted."),
    ]
}
