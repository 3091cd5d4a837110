import Foundation

extension JobSettings {
    /// One line of an explanation.
    public struct Line: Hashable, Sendable, Codable {
        public var name: String
        /// As it would be written in a rule file.
        public var value: String
        public var origin: String
    }

    /// Every setting in the order of the table.
    public var lines: [Line] {
        SettingName.allCases.map { name in
            let (value, origin) = shown(name)
            return Line(name: name.rawValue, value: value, origin: origin.description)
        }
    }

    /// A table for people: name, value, origin.
    public var explanation: String {
        let rows = lines
        let nameWidth = rows.map(\.name.count).max() ?? 0
        let valueWidth = min(rows.map(\.value.count).max() ?? 0, 40)
        var text = "\(mode.words), \(size)\n"
        for row in rows {
            text += Self.padded(row.name, nameWidth) + " = " + Self.padded(row.value, valueWidth)
            text += "  # " + row.origin + "\n"
        }
        text += "prompt as used: \(usedPrompt)\n"
        return text
    }

    /// The same for scripts: an object with `mode`, `size`, `used_prompt` and every setting with value and origin.
    public func explanationJSON() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Explained(settings: self)), as: UTF8.self)
    }

    private struct Explained: Encodable {
        let settings: JobSettings

        func encode(to encoder: any Encoder) throws {
            try settings.encode(to: encoder)
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(settings.usedPrompt, forKey: .usedPrompt)
        }

        enum Key: String, CodingKey {
            case usedPrompt = "used_prompt"
        }
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func shown(_ name: SettingName) -> (String, Origin) {
        switch name {
        case .model: (quoted(model.value), model.origin)
        case .resolution: (resolution.value, resolution.origin)
        case .aspectRatio: (aspectRatio.value, aspectRatio.origin)
        case .adaptiveResolution: (word(adaptiveResolution.value), adaptiveResolution.origin)
        case .steps: ("\(steps.value)", steps.origin)
        case .seed: ("\(seed.value)", seed.origin)
        case .frames: ("\(frames.value)", frames.origin)
        case .fps: ("\(fps.value)", fps.origin)
        case .prompt: (quoted(prompt.value), prompt.origin)
        case .promptPrefix: (quoted(promptPrefix.value), promptPrefix.origin)
        case .promptSuffix: (quoted(promptSuffix.value), promptSuffix.origin)
        case .sampler: (sampler.value.rawValue, sampler.origin)
        case .boundary: (plain(boundary.value), boundary.origin)
        case .exactFirstFrame: (word(exactFirstFrame.value), exactFirstFrame.origin)
        case .sigmaMax: (plain(sigmaMax.value), sigmaMax.origin)
        case .attention: (attention.value.rawValue, attention.origin)
        case .slaTopK: (plain(slaTopK.value), slaTopK.origin)
        case .quantLinear: (word(quantLinear.value), quantLinear.origin)
        case .variations: ("\(variations.value)", variations.origin)
        case .priority: ("\(priority.value)", priority.origin)
        case .crf: ("\(crf.value)", crf.origin)
        case .outputName: (quoted(outputName.value.isEmpty ? "{stem}" : outputName.value), outputName.origin)
        case .contactSheet: (word(contactSheet.value), contactSheet.origin)
        case .visibleLabel: (visibleLabel.value.isEmpty ? "no" : quoted(visibleLabel.value), visibleLabel.origin)
        case .after: (after.value.rawValue, after.origin)
        }
    }

    private func word(_ value: Bool) -> String { value ? "yes" : "no" }

    private func plain(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : "\(value)"
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension JobSettings {
    /// What the result's name begins with: `output_name` with `{stem}` replaced, or the input's stem.
    public func outputStem(inputStem: String) -> String {
        outputName.value.isEmpty
            ? inputStem : outputName.value.replacingOccurrences(of: "{stem}", with: inputStem)
    }
}

extension SettingDefinition {
    /// A rule file of all settings, each explained and commented out.
    public static var commentedFile: String {
        var lines = ["# Every setting of a rule file. Remove the # in front of a line to set it for this folder."]
        for definition in all {
            lines += [
                "", "# \(definition.summary)", "# Legal: \(definition.legal). Default: \(definition.standard).",
                "# \(definition.example)",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The table for scripts.
    public static func allJSON() throws -> String {
        struct Row: Encodable {
            var name, legal, standard, summary, example: String

            enum CodingKeys: String, CodingKey {
                case name, legal
                case standard = "default"
                case summary, example
            }
        }
        let rows = all.map {
            Row(
                name: $0.name.rawValue, legal: $0.legal, standard: $0.standard, summary: $0.summary, example: $0.example
            )
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(rows), as: UTF8.self)
    }
}
