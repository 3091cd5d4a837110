/// A `.prompt` or `.prompts` file, read: settings for its own jobs and one or more prompts.
public struct PromptFile: Hashable, Sendable, Codable {
    /// One prompt and the line on which it begins.
    public struct Entry: Hashable, Sendable, Codable {
        public var text: String
        public var line: Int

        public init(text: String, line: Int) {
            self.text = text
            self.line = line
        }
    }

    /// Largest file, in bytes.
    public static let maximumBytes = 64 * 1024

    /// The file as people see it: `cat.prompt`.
    public var source: String
    /// Settings of the head; empty when there is none.
    public var head: SettingLayer
    /// Never empty.
    public var prompts: [Entry]

    public init(source: String, head: SettingLayer = SettingLayer(), prompts: [Entry]) {
        self.source = source
        self.head = head
        self.prompts = prompts
    }

    /// The prompt and seed of an earlier film, to be run again under the folder's rule. Its seed and prompt win over
    /// the rule's, and it makes exactly one job.
    public init(film source: String, prompt: String, seed: UInt64) {
        var head = SettingLayer()
        head[.seed] = SourcedValue(.seed(.fixed(seed)), source: source, line: 1)
        head[.variations] = SourcedValue(.integer(1), source: source, line: 1)
        self.init(source: source, head: head, prompts: [Entry(text: prompt, line: 1)])
    }
}
