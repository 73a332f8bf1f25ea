import Checkpoints
import Planning
import TestSupport
import Testing

/// Tables as spreadsheets write them; the cells are those that Python's csv module reads.
@Suite struct CSVTests {
    private func table(_ text: String) throws -> CSVTable { try CSVTable(Array(text.utf8), file: "t.csv") }

    @Test(
        arguments: [
            "N,name,loss\n1,\"a, b\",2\n3,\"say \"\"x\"\"\",4\n",
            "N,name,loss\r\n1,\"a, b\",2\r\n3,\"say \"\"x\"\"\",4",
            "N,name,loss\r1,\"a, b\",2\r3,\"say \"\"x\"\"\",4\r",
            "\u{FEFF}N,name,loss\n1, \"a, b\" ,2\n\n3,\"say \"\"x\"\"\",4\n",
            "# a comment, with \"quotes\nN,name,loss\n1,\"a, b\",2\n3,\"say \"\"x\"\"\",4\n",
        ])
    func quotesAndLineEnds(_ text: String) throws {
        let table = try table(text)
        #expect(table.columns == ["N", "name", "loss"])
        #expect(table.rows.map(\.cells) == [["1", "a, b", "2"], ["3", "say \"x\"", "4"]])
    }

    @Test func aQuotedLineEndIsPartOfTheCell() throws {
        let table = try table("a,b\n\"1\n2\",3\n4,5\n")
        #expect(table.rows.map(\.cells) == [["1\n2", "3"], ["4", "5"]])
        #expect(table.rows.map(\.line) == [2, 4])
    }

    @Test func anOpenQuoteIsRefusedWithItsLine() {
        let error = #expect(throws: CheckpointError.self) { try table("a,b\n1,2\n\"3,4\n5,6\n") }
        #expect(error?.file == "t.csv, line 3")
    }
}
