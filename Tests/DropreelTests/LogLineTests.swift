import Foundation
import Logging
import Testing

@testable import dropreel

@Suite struct LogLineTests {
    private let line = LogLine(
        level: .warning, label: "dropreel.service", message: "job failed",
        metadata: ["stem": "my cat", "job": "7", "quote": "a \"b\"\nc"], time: Date(timeIntervalSince1970: 0))

    @Test func textHasTimeWeightAndPairsOnOneLine() {
        #expect(
            line.text(.text)
                == "1970-01-01T00:00:00Z warning dropreel.service: job failed job=7 quote=\"a 'b' c\" stem=\"my cat\"")
    }

    @Test func theJournalGetsTheWeightAndNoTime() {
        #expect(line.text(.journal).hasPrefix("<4>dropreel.service: job failed job=7"))
        var error = line
        error.level = .error
        #expect(error.text(.journal).hasPrefix("<3>"))
    }

    @Test func jsonIsOneObject() throws {
        let object = try JSONDecoder().decode([String: String].self, from: Data(line.text(.json).utf8))
        #expect(object["level"] == "warning" && object["message"] == "job failed" && object["stem"] == "my cat")
        #expect(object["time"] == "1970-01-01T00:00:00Z" && object["quote"] == "a \"b\"\nc")
        #expect(!line.text(.json).contains("\n"))
    }
}
