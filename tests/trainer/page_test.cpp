#include "trainer/report/page/page.h"

#include <gtest/gtest.h>

namespace last {
namespace {

std::string base64_of(const std::string& text) {
  return base64({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// RFC 4648, section 10.
TEST(Base64, IsThatOfTheStandard) {
  EXPECT_EQ(base64_of(""), "");
  EXPECT_EQ(base64_of("f"), "Zg==");
  EXPECT_EQ(base64_of("fo"), "Zm8=");
  EXPECT_EQ(base64_of("foo"), "Zm9v");
  EXPECT_EQ(base64_of("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64_of("\xff\xfe\xfd"), "//79");
}

TEST(HtmlPage, HoldsItsFilesAndEscapesWhatIsPutIn) {
  const auto page = html_page("a <b> & \"c\"", "x < y", {{"name", "</script><!-- {{TITLE}}"}});
  EXPECT_NE(page.find("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"), std::string::npos);
  EXPECT_NE(page.find("<pre>x &lt; y</pre>"), std::string::npos);
  EXPECT_NE(page.find(R"("\u003c/script\u003e\u003c!-- {{TITLE}}")"), std::string::npos);
  EXPECT_NE(page.find(kPageStyle), std::string::npos);
  EXPECT_NE(page.find(kPageScript), std::string::npos);
}

TEST(HtmlPage, ReplacesWhatIsNotUtf8) {
  EXPECT_NE(html_page("t", "", {{"name", "\xff"}}).find("\xEF\xBF\xBD"), std::string::npos);
}

}  // namespace
}  // namespace last
