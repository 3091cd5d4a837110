import Foundation
import Testing

@testable import dropreel

@Suite struct ProgressBarTests {
    @Test func barShowsShareDetailAndRemainingTime() {
        let line = ProgressBar.line(label: "cat", fraction: 0.4, remaining: 12, detail: "step 2 of 4")
        #expect(line == "cat  [########------------]  40 %  step 2 of 4  ETA 12 s")
    }

    @Test func aFinishedBarHasNoRemainingTime() {
        #expect(
            ProgressBar.line(label: "cat", fraction: 1, remaining: 3, detail: "") == "cat  [####################] 100 %"
        )
    }

    @Test func sharesOutsideTheWholeAreHeldInside() {
        #expect(
            ProgressBar.line(label: "a", fraction: -1, remaining: nil, detail: "").contains(
                "[--------------------]   0 %"))
        #expect(ProgressBar.line(label: "a", fraction: 7, remaining: nil, detail: "").contains("] 100 %"))
    }

    @Test(arguments: [(0.2, "1 s"), (59.0, "59 s"), (125, "2 min 05 s"), (4320, "1 h 12 min")])
    func durationsAreForPeople(seconds: Double, text: String) {
        #expect(ProgressBar.duration(seconds) == text)
    }
}
